"""What every interface must do, as tests: subclass ``InterfaceContract`` and give it a ``peer`` fixture.

The peer is the far side: it knows how to make an interface to itself, and can be stopped and started. Its rows should hold
both writable and read-only points, and none whose limits forbid the values of ``TRIALS``.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.clock import Clock
from gateway.errors import DeadlinePassed, Transient, Unreachable
from gateway.interfaces.base import Batch, Environment, Interface, Split
from gateway.model import PointError, Register, Scalar
from gateway.testing.fakes import FakeClock, Gate

JSON_TYPES = {"boolean": bool, "integer": int, "float": float, "string": str}
TRIALS: dict[str, list[Scalar]] = {"boolean": [True, False], "integer": [1, 0], "float": [1.5, 0.0], "string": ["on", ""]}
"""Two values to write to a point of each type; the second is false in Python, and a value like any other."""


@dataclass
class Peer:
    """The far side of an interface; ``stop`` makes it unreachable, also for interfaces that are connected."""

    driver: type[Interface]
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    clock: Clock = field(default_factory=FakeClock)

    def make(self) -> Interface:
        """An interface to this peer, not yet open."""
        return self.driver(self.driver.Config.model_validate(self.config), Environment(self.clock))

    def stop(self) -> None:
        """Become unreachable."""
        raise NotImplementedError

    def start(self) -> None:
        """Become reachable again."""
        raise NotImplementedError


def registers_of(interface: Interface, rows: list[dict[str, Any]]) -> list[Register]:
    """The registers of raw rows, as the gateway makes them."""
    return [interface.register(interface.Row.model_validate(row)) for row in rows]


def poll(interface: Interface, registers: list[Register]) -> dict[str, Scalar | PointError]:
    """One poll as the device thread does it: a batch that is refused as a whole is replaced by its parts."""
    result: dict[str, Scalar | PointError] = {}
    waiting = interface.batches(registers)
    while waiting:
        batch = waiting.pop(0)
        try:
            answer = interface.read(batch)
        except Split as split:
            waiting[:0] = checked_parts(batch, split)
        else:
            assert set(answer) == {register.name for register in batch.registers if not register.hidden}
            result |= answer
    return result


def checked_parts(batch: Batch, split: Split) -> list[Batch]:
    """The batches that stand for a refused one: together they are the whole of it, each is another one and no longer."""
    assert [register for part in split.batches for register in part.registers] == list(batch.registers)
    assert all(len(part.registers) <= len(batch.registers) and part != batch for part in split.batches)
    return list(split.batches)


def read_one(interface: Interface, register: Register) -> Scalar | PointError:
    """What one register holds now."""
    return poll(interface, [register])[register.name]


def trials(register: Register) -> list[Scalar]:
    """Two different values to write to this register."""
    texts: list[Scalar] = [*register.enum.values()] if register.enum else TRIALS[register.type]
    return texts[:2]


class InterfaceContract:
    """The tests; a subclass gives ``peer``."""

    @pytest.fixture
    def peer(self) -> Peer:
        """The far side."""
        raise NotImplementedError

    @pytest.fixture
    def interface(self, peer: Peer) -> Iterator[Interface]:
        """An open interface to the peer."""
        interface = peer.make()
        interface.open()
        yield interface
        interface.close()

    @pytest.fixture
    def registers(self, peer: Peer) -> list[Register]:
        """All registers of the peer, in the order of its rows."""
        return registers_of(peer.make(), peer.rows)

    @pytest.fixture
    def writable(self, registers: list[Register]) -> list[Register]:
        """The registers that may be written; the suite needs some of both kinds."""
        found = [register for register in registers if register.writable]
        assert 0 < len(found) < len(registers)
        return found

    def test_open_and_close_any_number_of_times(self, peer: Peer, registers: list[Register]) -> None:
        """An interface may be closed before it is open, opened and closed twice, and opened again."""
        interface = peer.make()
        interface.close()
        interface.open()
        interface.open()
        assert len(poll(interface, registers)) == len(registers)
        interface.close()
        interface.close()
        interface.open()
        assert len(poll(interface, registers)) == len(registers)
        interface.close()

    def test_registers_need_no_network(self, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
        """The constructor, register, check and batches work without a network, the peer stopped."""

        def refuse(*args: object, **kwargs: object) -> None:
            raise AssertionError("the network was touched")

        peer.stop()
        monkeypatch.setattr(socket, "socket", refuse)
        monkeypatch.setattr(socket, "create_connection", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        interface = peer.make()
        interface.check()
        registers = registers_of(interface, peer.rows)
        assert interface.batches(registers)
        assert registers_of(peer.make(), peer.rows) == registers, "the same row gives an equal register"

    def test_registers_are_frozen_and_named_by_their_rows(self, peer: Peer, registers: list[Register]) -> None:
        """Each row gives one frozen register with the row's point name, of a type that JSON knows."""
        assert [register.name for register in registers] == [row["Volttron Point Name"] for row in peer.rows]
        assert all(register.type in JSON_TYPES for register in registers)
        with pytest.raises(dataclasses.FrozenInstanceError):
            registers[0].name = "other"  # type: ignore[misc]

    def test_batches_hold_every_register_once_and_in_order(self, interface: Interface, registers: list[Register]) -> None:
        """A plan neither loses, repeats nor reorders a register, and the same registers give the same plan."""
        batches = interface.batches(registers)
        assert [register for batch in batches for register in batch.registers] == registers
        assert interface.batches(registers) == batches
        assert interface.batches([]) == []

    def test_a_poll_gives_a_value_of_the_right_type_or_an_error(
        self, interface: Interface, registers: list[Register]
    ) -> None:
        """Each register has a value of the JSON type that it promises, or a PointError; not all are errors."""
        answer = poll(interface, registers)
        assert set(answer) == {register.name for register in registers}
        values = {name: value for name, value in answer.items() if not isinstance(value, PointError)}
        assert values
        types = {register.name: JSON_TYPES[register.type] for register in registers}
        assert {name: type(value) for name, value in values.items()} == {name: types[name] for name in values}

    def test_a_write_gives_the_value_taken_and_a_read_gives_it_too(
        self, interface: Interface, writable: list[Register]
    ) -> None:
        """What was written is what the write answers and what the point then holds: 0, false and "" like any other value."""
        for register in writable:
            for value in trials(register):
                taken = interface.write(register, value, {}, Gate())
                assert (type(taken), taken) == (JSON_TYPES[register.type], value), register.name
                assert read_one(interface, register) == value, register.name

    def test_a_write_touches_no_other_point(self, interface: Interface, writable: list[Register]) -> None:
        """Writing one point leaves every other writable point as it was."""
        for register in writable:
            before = poll(interface, writable)
            interface.write(register, _other(register, before), {}, Gate())
            after = poll(interface, writable)
            assert {n for n in before if before[n] != after[n]} == {register.name}

    def test_may_send_is_called_once_for_a_write_and_never_for_a_read(
        self, interface: Interface, writable: list[Register]
    ) -> None:
        """Each write asks exactly once whether it may leave."""
        for register in writable:
            gate = Gate()
            interface.write(register, trials(register)[0], {}, gate)
            assert gate.calls == 1, register.name

    def test_a_write_that_may_not_be_sent_is_not(self, interface: Interface, writable: list[Register]) -> None:
        """What may_send raises comes through as it is, the point keeps its value, and the interface goes on."""
        for register in writable:
            before = poll(interface, writable)
            gate = Gate(DeadlinePassed("too late"))
            with pytest.raises(DeadlinePassed) as raised:
                interface.write(register, _other(register, before), {}, gate)
            assert raised.value is gate.refusal
            assert gate.calls == 1, register.name
            assert poll(interface, writable) == before, register.name

    def test_an_unreachable_peer_is_told_and_found_again(self, peer: Peer, registers: list[Register]) -> None:
        """Without its peer an interface raises Unreachable on open, as often as one tries, and works once it is back."""
        interface = peer.make()
        peer.stop()
        for _ in range(2):
            with pytest.raises(Unreachable):
                interface.open()
            interface.close()
        peer.start()
        interface.open()
        assert len(poll(interface, registers)) == len(registers)
        interface.close()

    def test_a_peer_lost_on_the_way_gives_no_value(
        self, peer: Peer, interface: Interface, writable: list[Register], registers: list[Register]
    ) -> None:
        """When the peer goes, reads and writes raise; when it is back, the interface works after close and open."""
        poll(interface, registers)
        peer.stop()
        with pytest.raises((Unreachable, Transient)):
            poll(interface, registers)
        with pytest.raises((Unreachable, Transient)):
            interface.write(writable[0], trials(writable[0])[0], {}, Gate())
        peer.start()
        interface.close()
        interface.open()
        assert len(poll(interface, registers)) == len(registers)

    def test_models_refuse_unknown_keys(self, peer: Peer) -> None:
        """A key of driver_config or a column that the models do not know is refused, not dropped."""
        with pytest.raises(ValidationError, match="nonsense"):
            peer.driver.Config.model_validate(peer.config | {"nonsense": 1})
        with pytest.raises(ValidationError, match="nonsense"):
            peer.driver.Row.model_validate(peer.rows[0] | {"nonsense": 1})


def _other(register: Register, held: Mapping[str, Scalar | PointError]) -> Scalar:
    """A trial value that the register does not hold now."""
    return next(value for value in trials(register) if value != held[register.name])
