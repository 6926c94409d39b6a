"""Checksums of lines; pure.

Sources: MODBUS over Serial Line V1.02, 2.5.1.2 and 6.2.2 (CRC-16) and 6.2.1 (LRC); the others are said by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import xor


def crc16(data: bytes) -> int:
    """CRC-16 of Modbus: polynomial 0xA001 (reflected), from 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


KINDS: Mapping[str, tuple[int, Callable[[bytes], int]]] = {
    "xor": (1, lambda data: reduce(xor, data, 0)),
    "sum8": (1, lambda data: sum(data) & 0xFF),
    "lrc": (1, lambda data: -sum(data) & 0xFF),
    "crc16_modbus": (2, crc16),
}
"""How many bytes each has, and how it is reckoned."""


def checksum(kind: str, as_hex: bool, data: bytes) -> bytes:
    """The checksum as it stands in a line: hex digits, high ones first, or bytes, those of the CRC low byte first."""
    size, reckon = KINDS[kind]
    number = reckon(data)
    return f"{number:0{2 * size}X}".encode() if as_hex else number.to_bytes(size, "little")
