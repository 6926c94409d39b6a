"""Every refusal of a writing request is in the audit log, once."""

from __future__ import annotations

from typing import Any

from gateway.actuator.audit import Audit, AuditEvent
from gateway.addressing import Addressing
from gateway.errors import BadRequest, GatewayError
from gateway.payloads import BadPayload
from gateway.rpc import Call, Handler


def audited(audit: Audit, names: Addressing, method: Handler) -> Handler:
    """The method, with its refusals told; what the thread of a device refuses later is told there."""

    def handler(call: Call) -> None:
        try:
            method(call)
        except BadPayload as error:
            _tell(audit, names, call, BadRequest(str(error)))
            raise
        except GatewayError as error:
            _tell(audit, names, call, error)
            raise

    return handler


def _tell(audit: Audit, names: Addressing, call: Call, error: GatewayError) -> None:
    path, point = names.guess(call)
    audit.event(
        AuditEvent(
            "refused",
            path,
            outcome=error.code,
            requester=call.requester,
            task_id=_text(call.arguments.get("lease", call.arguments.get("task_id"))),
            point=point or None,
            new=call.method,
            id=call.id,
        )
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
