"""Whether a UDP port can be had."""

from __future__ import annotations

import errno
import ipaddress
import socket


def refusal(interface: str, port: int) -> str:
    """Why nobody can have that port at an address such as ``192.168.1.10/24``, in words, or an empty text.

    The stack itself binds with SO_REUSEPORT, by which two programs would share a port and take each other's packets, and
    what it can not bind it tries for ever without a word.
    """
    local = ipaddress.IPv4Interface(interface)
    host, broadcast = str(local.ip), str(local.network.broadcast_address)
    error = _bound(host, port)
    if error is not None:
        return _words(error, host, port)
    if broadcast != host and _bound(broadcast, port, share=True) is not None:
        return (
            f"{broadcast} is no broadcast address of this machine: write {host} with the prefix of its network,"
            f" which is not /{local.network.prefixlen}"
        )
    return ""


def _bound(host: str, port: int, share: bool = False) -> OSError | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        if share:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


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
