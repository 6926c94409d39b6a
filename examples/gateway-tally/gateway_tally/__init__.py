"""The driver ``tally``: boards that count pulses, on TCP. README.md describes its keys and columns, and the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import Field

from gateway.driver import (
    BadValue,
    Batch,
    DriverConfig,
    Environment,
    MaySend,
    Place,
    PointError,
    ReadOnly,
    Register,
    RegistryRow,
    Rejected,
    Scalar,
    Split,
    Taken,
    TcpStream,
    Transient,
    Unreachable,
    check_allowed,
    shared,
    words,
)
from gateway.driver import Interface as Base
from gateway_tally.protocol import MOST, READ, SET, STATUS, Reply, Request, taken


class TallyConfig(DriverConfig):
    """The ``driver_config``."""

    host: Place
    port: int = Field(4660, ge=1, le=65535)
    timeout: float = Field(1, gt=0, le=60)


class TallyRow(RegistryRow):
    """One row of the registry: the columns that every registry has, and the counter's channel."""

    channel: int = Field(alias="Channel", ge=0, le=0xFFFF)


@dataclass(frozen=True, kw_only=True, slots=True)
class TallyRegister(Register):
    """A counter."""

    channel: int = 0


class Interface(Base):
    """One tally board."""

    Config = TallyConfig
    Row = TallyRow

    def __init__(self, config: TallyConfig, env: Environment) -> None:
        super().__init__(config, env)
        self._stream = TcpStream(config.host, config.port, config.timeout, env)
        self._sequence = 0

    def check(self) -> None:
        """ConfigFault if the gateway may not ask that address."""
        check_allowed(self.config.host, serial=False, allow=self.env.allow)

    def link(self) -> tuple[object, ...]:
        """The board."""
        return ("tally", self.config.host, self.config.port)

    def target(self, register: Register) -> object:
        """The channel."""
        return cast(TallyRegister, register).channel

    def _register(self, row: TallyRow) -> TallyRegister:
        return TallyRegister(**shared(row, "integer"), channel=row.channel)

    def _open(self) -> None:
        self._stream.open()

    def _close(self) -> None:
        self._stream.close()

    def _plan(self, registers: Sequence[Register]) -> list[Batch]:
        """Channels that follow each other are read together."""
        runs: list[list[TallyRegister]] = []
        for register in cast(Sequence[TallyRegister], registers):
            follows = runs and register.channel == runs[-1][-1].channel + 1 and len(runs[-1]) < MOST
            if follows:
                runs[-1].append(register)
            else:
                runs.append([register])
        return [Batch(tuple(run)) for run in runs]

    def _read(self, batch: Batch) -> dict[str, Scalar | PointError]:
        points = cast(Sequence[TallyRegister], batch.registers)
        reply = self._exchange(Request(READ, points[0].channel, len(points)))
        if reply.status and len(points) > 1:
            raise Split([Batch((point,)) for point in points])
        if reply.status:
            error = PointError(Rejected.code, _words(reply.status), unsupported=reply.status == 1)
            return {points[0].name: error}
        return dict(zip([point.name for point in points], reply.counters, strict=True))

    def _write(self, register: Register, raw: Scalar | None, options: Mapping[str, Any], may_send: MaySend) -> Taken:
        point = cast(TallyRegister, register)
        if not point.writable:
            raise ReadOnly(f'"{point.name}" is not writable')
        if not isinstance(raw, int) or raw >= 1 << 63:
            raise BadValue(f'"{point.name}" takes a whole number of 63 bits')
        reply = self._exchange(Request(SET, point.channel, value=raw), may_send)
        if reply.status:
            raise Rejected(_words(reply.status))
        return reply.counters[0]

    def _exchange(self, request: Request, may_send: MaySend | None = None) -> Reply:
        """One request, one reply. Whatever goes wrong, the connection goes with it, and so does a reply that is late."""
        self._stream.open()
        self._sequence = (self._sequence + 1) % 256
        try:
            if may_send is not None:
                may_send()
            self._stream.send(request.frame(self._sequence))
            return self._reply(request)
        except OSError as error:
            self._stream.close()
            raise Unreachable(f"the connection to {self._stream.name} broke: {words(error)}") from error
        except (Transient, ValueError) as error:
            self._stream.close()
            raise Transient(str(error)) from error

    def _reply(self, request: Request) -> Reply:
        data = b""
        until = self.env.clock.now() + self.config.timeout
        while more := self._stream.receive(max(0.0, until - self.env.clock.now())):
            reply, data = taken(data + more)
            if reply is not None and reply.sequence == self._sequence:
                if not reply.status and len(reply.counters) != request.count:
                    raise ValueError(f"{len(reply.counters)} counters came, and {request.count} were asked for")
                return reply
        raise Transient(f"no answer within {self.config.timeout:g} s")


def _words(status: int) -> str:
    return STATUS.get(status, f"status {status}")
