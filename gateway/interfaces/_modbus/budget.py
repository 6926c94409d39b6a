"""How long requests keep a serial line busy; pure.

What is counted is what the line itself takes: the characters of a request and its reply, the silence by which the device
knows that a request is over, and the gap before the next one. How long a device then thinks, only it knows: a real line
takes that much longer.

Source: [SL] MODBUS over Serial Line V1.02, 2.5.1.1 (RTU: 8 bytes around 5 of a request, silence of 3.5 characters) and 2.5.2
(ASCII: two characters for each byte, colon and CR LF around them).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.interfaces._modbus.config import ModbusConfig
from gateway.interfaces._modbus.pdu import Query

RTU_AROUND = 3
"""Bytes that a frame has beside its PDU: address and CRC."""
ASCII_AROUND = 7
"""Characters that a frame has beside the two for each byte of its PDU: colon, address, LRC, CR and LF."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What requests take (seconds).

    Each character, the ``silence`` after a request, the ``gap`` before the next, and the ``step`` from one to the next at
    least. ``as_text``: a byte is two characters.
    """

    character: float = 0.0
    silence: float = 0.0
    gap: float = 0.0
    step: float = 0.0
    as_text: bool = False


def timing(config: ModbusConfig) -> Timing:
    """What requests to a device take; off a serial line only what the configuration adds is known."""
    step = 1 / config.requests_per_second if config.requests_per_second else 0.0
    if not config.serial:
        return Timing(gap=config.frame_gap, step=step)
    as_text = config.framing == "ascii"
    silence = 0.0 if as_text else config.model_copy(update={"gap": None}).frame_gap
    return Timing(config.character, silence, config.frame_gap, step, as_text)


def words(config: ModbusConfig) -> str:
    """What the device is reached by, equal for those that share it."""
    _, host, port = config.endpoint
    return f"{host} at {config.baudrate} baud" if config.serial else f"{host} port {port}"


def seconds(queries: Iterable[Query], timing: Timing) -> float:
    """How long these requests keep the line busy, one after another."""
    return sum(_one(query, timing) for query in queries)


def _one(query: Query, timing: Timing) -> float:
    characters = sum(_characters(size, timing.as_text) for size in (len(query.pdu), query.length))
    return max(timing.step, characters * timing.character + timing.silence + timing.gap)


def _characters(pdu: int, as_text: bool) -> int:
    return 2 * pdu + ASCII_AROUND if as_text else pdu + RTU_AROUND
