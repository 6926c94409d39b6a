"""Instruments for tests: one that keeps what is written to it, on TCP; rows and interfaces for them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from gateway.allow import Allow
from gateway.clock import SystemClock
from gateway.interfaces.base import Environment
from gateway.interfaces.serial import Interface
from tests.acceptor import Acceptor
from tests.integration.waiting import PATIENCE


def env() -> Environment:
    """One with the clock of the machine, that lets tests use any path."""
    return Environment(SystemClock(), Allow(serial_ports=("/*", "/**")))


def row(name: str, pattern: str = "", request: str = "", **columns: Any) -> dict[str, Any]:
    """A raw row; other columns are written with ``_`` for the space, and Writable follows from Write."""
    cells = {"Volttron Point Name": name, "Pattern": pattern, "Request": request}
    cells |= {column.replace("_", " "): cell for column, cell in columns.items()}
    if "Write" in cells:
        cells.setdefault("Writable", "true")
    return {column: cell for column, cell in cells.items() if cell != ""}


def make(place: Path | str | int, lent: Environment | None = None, **config: Any) -> Interface:
    """An interface to a serial port or a port of this machine's loopback, not yet open."""
    where = {"device_address": "127.0.0.1", "port": place} if isinstance(place, int) else {"device_address": str(place)}
    return Interface(Interface.Config.model_validate({**where, "timeout": 0.3 * PATIENCE, **config}), lent or env())


def points(interface: Interface, *rows: dict[str, Any]) -> list[Any]:
    """The registers of raw rows."""
    return [interface.register(interface.Row.model_validate(one)) for one in rows]


class Instrument:
    """Values by name: ``R<name>`` is answered ``<name>=<value>``, ``W<name>=<value>`` with ``OK``, all else with ``ERR``."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.heard: list[str] = []

    def answer(self, line: str) -> str:
        """What it says to a line."""
        self.heard.append(line)
        name, _, value = line[1:].partition("=")
        if name not in self.values:
            return "ERR"
        if line.startswith("W"):
            self.values[name] = value
            return "OK"
        return f"{name}={self.values[name]}"


class TcpInstrument:
    """An instrument behind a terminal server: lines end with CR LF, both ways."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._acceptor = Acceptor(self._serve)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._acceptor.port

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._acceptor.open()

    def stop(self) -> None:
        """Close the port and every connection."""
        self._acceptor.shut()

    def _serve(self, link: socket.socket) -> None:
        with link.makefile("rwb") as file:
            for line in file:
                file.write(self.instrument.answer(line.decode().strip("\r\n")).encode() + b"\r\n")
                file.flush()
