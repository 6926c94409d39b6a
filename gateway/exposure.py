"""What lets strangers in, said at the start: a broker for everybody, secrets that everybody on the machine can read."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from gateway.settings import Broker, Settings

OTHERS = 0o007
"""The rights of those who are neither the owner of a file nor in its group."""


def open_broker(broker: Broker) -> str | None:
    """Why everybody on the network may command this gateway, or None: the broker is this machine's, or wants a login."""
    if broker.username is not None or broker.cert is not None or _is_loopback(broker.url.host):
        return None
    return (
        f"{broker.url} lets anybody in without a login, and who can publish there can configure devices and write points: "
        "give each user of the broker a password or a certificate, and set broker.username or broker.cert"
    )


def in_the_clear(broker: Broker) -> str | None:
    """Why everybody on the network can read the password, or None."""
    if broker.password is None or broker.url.tls or _is_loopback(broker.url.host):
        return None
    return f"the password goes to {broker.url} unencrypted: use mqtts://"


def open_secrets(settings: Settings) -> Iterator[str]:
    """The files with secrets that others on this machine may read."""
    for path in _secrets(settings):
        try:
            if path.stat().st_mode & OTHERS:
                yield f"{path} can be read by others on this machine: chmod o= {path}"
        except OSError:
            continue  # who needs it says so


def _secrets(settings: Settings) -> list[Path]:
    directory, key = settings.credentials_dir, settings.broker.key
    inside = sorted(directory.iterdir()) if directory is not None and directory.is_dir() else []
    return [path for path in (*inside, key) if path is not None and path.is_file()]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
