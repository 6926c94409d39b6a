from __future__ import annotations

import socket
import ssl

import pytest

from gateway.broker.tls import plain_reason


def unverified(message: str) -> ssl.SSLCertVerificationError:
    """As the library raises it for a certificate that it does not accept."""
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:992)")
    error.verify_message = message
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (unverified("certificate has expired"), "the broker's certificate is not accepted: certificate has expired"),
        (TimeoutError("timed out"), "the broker's address does not answer"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ValueError("Invalid host."), "Invalid host."),
    ],
)
def test_a_failure_is_told_in_words(error: Exception, told: str) -> None:
    """People read why there is no connection; no class name is in it."""
    assert plain_reason(error) == told
