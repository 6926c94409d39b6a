"""Which networks and serial ports a device configuration may name (setting ``allow``)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from fnmatch import fnmatchcase

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NAMED = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
    "any": ("0.0.0.0/0", "::/0"),
}


@dataclass(frozen=True, slots=True)
class Allow:
    """The allow-lists: network names of ``NAMED`` or CIDR blocks, and glob patterns over serial port paths."""

    networks: tuple[str, ...] = ("private", "loopback")
    serial_ports: tuple[str, ...] = ("/dev/tty*", "/dev/serial/**")

    def address(self, address: str) -> bool:
        """Whether devices at this IP address may be asked."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None)
        return any((mapped or ip) in network for network in self._blocks() if network.version == (mapped or ip).version)

    def serial_port(self, path: str) -> bool:
        """Whether the serial port at this path may be opened; a path with ``..`` never is."""
        return ".." not in path.split("/") and any(fnmatchcase(path, pattern) for pattern in self.serial_ports)

    def _blocks(self) -> list[Network]:
        return [ipaddress.ip_network(block) for name in self.networks for block in NAMED.get(name, (name,))]


def is_ip_address(host: str) -> bool:
    """Whether the host is written as an IP address, not as a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
