"""Connections to the broker. ``client`` is the only module of the gateway that knows the MQTT library."""

from gateway.broker.link import Link
from gateway.broker.subscription import Subscription

__all__ = ["Link", "Subscription"]
