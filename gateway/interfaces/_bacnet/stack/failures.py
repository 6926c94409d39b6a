"""What the stack raises, as failures that can be told."""

from __future__ import annotations

from bacpypes3.apdu import AbortPDU, AbortReason, ErrorRejectAbortNack, RejectPDU
from bacpypes3.basetypes import ErrorClass, ErrorCode

from gateway.interfaces._bacnet.services import Refused
from gateway.interfaces._bacnet.values import Failure


class Failed(Exception):
    """A request came to nothing."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class NotSent(Exception):
    """A write was held back: it was late, or cancelled."""


def refusal(answer: ErrorRejectAbortNack) -> Failure:
    """The failure that an error, reject or abort stands for."""
    if isinstance(answer, AbortPDU):
        if answer.apduAbortRejectReason == AbortReason.noResponse:
            return Failure("timeout", "the device did not send its answer to the end")
        reason = str(answer.apduAbortRejectReason)
        return Failure("abort", f"the device aborted: {reason}", reason)
    if isinstance(answer, RejectPDU):
        reason = str(answer.apduAbortRejectReason)
        return Failure("reject", f"the device rejected the request: {reason}", reason)
    names = str(getattr(answer, "errorClass", "")), str(getattr(answer, "errorCode", ""))
    return Failure("error", f"the device answered with an error: {names[1]} ({names[0]})", names[1], names[0])


def property_error(refused: Refused) -> Failure:
    """The failure of one property in the answer to many."""
    reason, error_class = str(ErrorCode(refused.error_code)), str(ErrorClass(refused.error_class))
    return Failure("error", f"the device answered with an error: {reason} ({error_class})", reason, error_class)
