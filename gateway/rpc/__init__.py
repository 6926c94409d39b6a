"""Requests over MQTT, by topic and as JSON-RPC 2.0: answered exactly once, by the deadline at the latest."""

from gateway.rpc.calls import WRITING, Call, Handler, Silence, error_body
from gateway.rpc.dispatcher import Rpc

__all__ = ["WRITING", "Call", "Handler", "Rpc", "Silence", "error_body"]
