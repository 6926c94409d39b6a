"""TLS to the broker, and plain words for what is wrong with it."""

from __future__ import annotations

import ssl

from gateway.settings import Broker


def context(broker: Broker) -> ssl.SSLContext:
    """How the broker is checked, and what we show of ourselves. Raises OSError for files that are no use."""
    made = ssl.create_default_context(cafile=str(broker.ca) if broker.ca else None)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if broker.cert is not None:
        made.load_cert_chain(str(broker.cert), str(broker.key) if broker.key else None)
    if broker.crl is not None:
        made.load_verify_locations(str(broker.crl))
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return made


def plain_reason(error: Exception) -> str:
    """Why there is no connection, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "the broker's address does not answer"
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)
