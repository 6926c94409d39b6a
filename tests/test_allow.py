from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.allow import Allow, is_ip_address

ADDRESSES = st.ip_addresses()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.7.7",
        "::1",
        "fd00::1",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
    ],
)
def test_private_and_loopback_are_allowed_by_default(address: str) -> None:
    """Devices on private networks and on this machine may be asked."""
    assert Allow().address(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.32.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "2001:db8::1", "::", "::ffff:8.8.8.8"]
)
def test_everything_else_is_not(address: str) -> None:
    """An address outside, also one that is wrapped in IPv6, may not be asked."""
    assert not Allow().address(address)


@given(address=ADDRESSES)
def test_any_allows_every_address_and_nothing_allows_none(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """``any`` stands for all networks, an empty list for none."""
    assert Allow(networks=("any",)).address(str(address))
    assert not Allow(networks=()).address(str(address))


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (("198.51.100.0/24",), "198.51.100.255", True),
        (("198.51.100.0/24",), "198.51.101.0", False),
        (("198.51.100.0/24",), "127.0.0.1", False),
        (("198.51.100.0/24",), "::ffff:198.51.100.1", True),
        (("2001:db8::/32", "loopback"), "2001:db8:1::1", True),
        (("2001:db8::/32", "loopback"), "127.0.0.9", True),
        (("2001:db8::/32", "loopback"), "10.0.0.1", False),
    ],
)
def test_networks_are_names_and_blocks(networks: tuple[str, ...], address: str, allowed: bool) -> None:
    """A list of names and CIDR blocks allows what lies in one of them, and nothing else."""
    assert Allow(networks=networks).address(address) is allowed


@pytest.mark.parametrize("path", ["/dev/ttyUSB0", "/dev/ttyS1", "/dev/serial/by-id/usb-x"])
def test_serial_ports_are_allowed_by_default(path: str) -> None:
    """The usual names of serial ports may be opened."""
    assert Allow().serial_port(path)


@pytest.mark.parametrize(
    "path", ["/dev/sda", "/etc/passwd", "ttyUSB0", "", "/DEV/ttyS0", "/dev/serial/../sda", "/dev/tty/../sda", "x/dev/ttyS0"]
)
def test_other_files_are_no_serial_ports(path: str) -> None:
    """Other files, and paths that climb, may not be opened."""
    assert not Allow().serial_port(path)


def test_serial_ports_may_be_narrowed() -> None:
    """A list of one path allows that path alone."""
    allow = Allow(serial_ports=("/dev/ttyUSB0",))
    assert allow.serial_port("/dev/ttyUSB0")
    assert not allow.serial_port("/dev/ttyUSB1")


@given(address=ADDRESSES)
def test_ip_addresses_are_known(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Each IPv4 and IPv6 address is one."""
    assert is_ip_address(str(address))


@pytest.mark.parametrize("host", ["plc.local", "localhost", "", "10.0.0", "10.0.0.256", "10.0.0.1:502", "[::1]", "1e3"])
def test_names_are_no_ip_addresses(host: str) -> None:
    """Names, short forms and addresses with a port are none."""
    assert not is_ip_address(host)
