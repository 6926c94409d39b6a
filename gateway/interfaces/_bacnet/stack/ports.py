"""Whether a UDP port is free."""

from __future__ import annotations

import errno
import socket


def taken(host: str, port: int) -> str:
    """Why nobody can have that port at that address, in words, or an empty text.

    The stack itself binds with SO_REUSEPORT, by which two programs would share a port and take each other's packets.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            return _words(error, host, port)
    return ""


def _words(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"UDP port {port} at {host} is taken by another program: end that, or give this gateway another port"
                " and, where devices are asked by broadcast, a BBMD to register with"
            )
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine"
        case errno.EACCES:
            return f"UDP port {port} may not be used by this user: take one above 1023"
        case _:
            return f"UDP port {port} at {host} can not be used: {error.strerror}"
