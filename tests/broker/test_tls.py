from __future__ import annotations

import socket
import ssl

import pytest

from gateway.broker.tls import context, plain_reason
from gateway.settings import Broker
from gateway.settings_types import BrokerUrl


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


def test_nothing_older_than_tls_1_2_is_spoken() -> None:
    """Whatever the system's configuration allows; the broker's certificate and its name are checked, always."""
    made = context(Broker.model_construct(url=BrokerUrl("x", 8883, True)))
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
