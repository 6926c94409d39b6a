from __future__ import annotations

import csv
import math
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import BadValue, ConfigFault, DeadlinePassed, DeviceError, Rejected, Transient, Unreachable
from gateway.interfaces.base import Environment
from gateway.interfaces.fake import TYPES, WAVES, FakeConfig, FakeRegister, FakeRow, Interface
from gateway.model import PointError
from gateway.testing import InterfaceContract, Peer, poll, read_one, registers_of
from tests.fakes import FakeClock, Gate

SAMPLE = Path(__file__).parents[2] / "docs" / "samples" / "fake" / "registry.csv"


def sample_rows() -> list[dict[str, Any]]:
    """The rows of the sample registry, empty cells left out."""
    with SAMPLE.open(newline="") as file:
        return [{column: cell for column, cell in row.items() if cell} for row in csv.DictReader(file)]


def row(name: str = "P", **columns: Any) -> dict[str, Any]:
    """A raw row; columns are written with ``_`` for the space."""
    return {"Point Name": name, "Volttron Point Name": name} | {c.replace("_", " "): v for c, v in columns.items()}


def make(clock: FakeClock | None = None, **config: Any) -> Interface:
    """An open fake device."""
    interface = Interface(FakeConfig(**config), Environment(clock or FakeClock()))
    interface.open()
    return interface


def register(**columns: Any) -> FakeRegister:
    """The register of a row."""
    made = make().register(FakeRow.model_validate(row(**columns)))
    assert isinstance(made, FakeRegister)
    return made


@dataclass
class FakePeer(Peer):
    """Takes every device that it made offline and back."""

    made: list[Interface] = field(default_factory=list)

    def make(self) -> Interface:
        """A fake device, offline while the peer is stopped."""
        made = super().make()
        assert isinstance(made, Interface)
        self.made.append(made)
        return made

    def stop(self) -> None:
        """Set all offline."""
        self._set(offline=True)

    def start(self) -> None:
        """Set all online."""
        self._set(offline=False)

    def _set(self, offline: bool) -> None:
        self.config["offline"] = offline
        for interface in self.made:
            interface.config = FakeConfig.model_validate(self.config)


class TestFakeContract(InterfaceContract):
    """The contract, kept by the fake device."""

    @pytest.fixture
    def peer(self) -> Peer:
        """A fake device with the sample's points, a scaled one and one with an Enum, three to a request."""
        extra = [
            row("Scaled", Type="int", Scale="0.5", Offset="-1", Starting_Value="3", Writable="true"),
            row("Enum", Type="int", Enum="0=Off;1=On", Starting_Value="Off", Writable="true"),
        ]
        return FakePeer(Interface, {"batch": 3}, sample_rows() + extra)


@pytest.mark.parametrize("word", [*TYPES, "Float", " BOOL "])
def test_type_words_give_the_true_type(word: str) -> None:
    """Each word of the column Type, in any case, gives the type that the point's values have."""
    made = register(Type=word)
    value = read_one(make(), made)
    assert made.type == TYPES[word.strip().lower()]
    assert type(value).__name__ == {"boolean": "bool", "integer": "int", "float": "float", "string": "str"}[made.type]


def test_type_is_string_when_absent() -> None:
    """A row without a Type is a text point, as in VOLTTRON."""
    assert register(Starting_Value="50").start == "50"


def test_unknown_type_is_a_fault_with_a_suggestion() -> None:
    """A misspelt Type is refused with the near word, not taken for a text."""
    with pytest.raises(ConfigFault) as raised:
        register(Type="flaot")
    assert (raised.value.where, raised.value.suggestion) == ("Type", "float")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("bool", "TRUE", True),
        ("bool", "false", False),
        ("boolean", "0", False),
        ("boolean", "1", True),
        ("int", "50", 50),
        ("int", "50.0", 50),
        ("int", "0", 0),
        ("float", "-1.5e3", -1500.0),
        ("float", "3", 3.0),
        ("string", "Auto", "Auto"),
    ],
)
def test_starting_value_is_the_first_value_and_the_default(kind: str, text: str, value: Any) -> None:
    """A Starting Value is what the point first holds and what a revert brings back."""
    made = register(Type=kind, Starting_Value=text)
    assert (type(made.default), made.default) == (type(value), value)
    assert (type(made.start), read_one(make(), made)) == (type(value), value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("bool", "yes please"),
        ("bool", "2"),
        ("int", "5.5"),
        ("int", "abc"),
        ("float", "nan"),
        ("float", "warm"),
    ],
)
def test_starting_value_that_does_not_fit_is_a_fault(kind: str, text: str) -> None:
    """A Starting Value that is not of the type is refused with its column, not bent to zero or true."""
    with pytest.raises(ConfigFault) as raised:
        register(Type=kind, Starting_Value=text)
    assert raised.value.where == "Starting Value"


def test_starting_value_keeps_the_limits() -> None:
    """A Starting Value outside Min and Max is refused."""
    with pytest.raises(ConfigFault, match="limits"):
        register(Type="int", Starting_Value="11", Max="10")


def test_starting_value_beyond_the_scale_is_a_fault() -> None:
    """A Starting Value that Scale brings beyond 64 bits is refused with its column."""
    with pytest.raises(ConfigFault) as raised:
        register(Type="int", Starting_Value="1e19", Scale="0.001")
    assert raised.value.where == "Starting Value"


def test_starting_value_is_in_engineering_units() -> None:
    """With Scale and Offset, clients first see the Starting Value itself."""
    made = register(Type="int", Starting_Value="21.5", Scale="0.1", Offset="-10")
    assert made.start == 315
    assert read_one(make(), made) == made.default == 21.5


def test_default_value_goes_before_the_starting_value() -> None:
    """Default Value is what a revert brings back, when both are given."""
    made = register(Type="float", Starting_Value="10", Default_Value="20")
    assert (made.start, made.default) == (10.0, 20.0)


def test_without_starting_value_there_is_no_default() -> None:
    """A point without Starting Value has nothing to revert to, but for a Default Value."""
    assert register(Type="float").default is None
    assert register(Type="float", Default_Value="0").default == 0.0


@given(name=st.text(min_size=1), kind=st.sampled_from(list(TYPES)), seed=st.integers())
def test_pseudo_random_values_are_the_same_each_time(name: str, kind: str, seed: int) -> None:
    """A point without Starting Value begins with a value of its type, 0 to 100, that name and seed alone decide."""
    rows = [row("Q" + name, Type=kind)]
    first, again = (registers_of(make(seed=seed), rows)[0] for _ in range(2))
    assert isinstance(first, FakeRegister)
    assert first == again
    assert 0 <= float(first.start) <= 100


def test_pseudo_random_values_differ_by_name_and_seed() -> None:
    """Points have different values, and another seed gives others."""
    rows = [row(f"P{i}", Type="int") for i in range(20)]
    one, other = poll(make(), registers_of(make(), rows)), poll(make(), registers_of(make(seed=1), rows))
    assert len(set(one.values())) > 5
    assert one != other


def test_pseudo_random_value_of_an_enum_is_one_of_it() -> None:
    """An Enum point without Starting Value begins with one of its texts."""
    assert read_one(make(), register(Type="int", Enum="7=Off;9=On")) in ("Off", "On")


@given(wave=st.sampled_from(list(WAVES)), second=st.floats(0, 59.999))
def test_every_wave_is_finite_at_all_times(wave: str, second: float) -> None:
    """A waveform has a finite value at each moment of the minute."""
    value = read_one(make(FakeClock(wall=6_000 + second)), register(name="EKG", Starting_Value=wave))
    assert isinstance(value, float)
    assert math.isfinite(value)


@pytest.mark.parametrize(("second", "value"), [(0, 0.0), (5, 0.5), (15, 1.0), (45, -1.0)])
def test_wave_follows_the_seconds_of_the_minute(second: int, value: float) -> None:
    """A sine has its zero at second 0 and its top at second 15, by the injected clock."""
    clock = FakeClock(wall=60_000)
    interface = make(clock)
    clock.advance(second)
    assert read_one(interface, register(name="EKG1", Starting_Value="sin")) == pytest.approx(value)


@pytest.mark.parametrize("start", [None, "nonsense", "SIN"])
def test_wave_of_another_name_is_a_sine(start: str | None) -> None:
    """A waveform whose Starting Value names no function is a sine, as in VOLTTRON."""
    columns = {} if start is None else {"Starting_Value": start}
    assert register(name="EKG", **columns).wave == "sin"


def test_wave_is_a_float_that_nobody_writes() -> None:
    """A waveform is a read-only float without a default, whatever Type and Writable say."""
    made = register(name="EKG", Type="int", Writable="TRUE", Starting_Value="tan")
    assert (made.type, made.writable, made.default, made.wave) == ("float", False, None, "tan")


def test_skipped_rows_are_those_without_either_name() -> None:
    """VOLTTRON skips rows without Point Name; a row without a name on MQTT has none to be known by."""
    assert FakeRow.skip_if_blank == ("Point Name", "Volttron Point Name")


def test_volttron_columns_are_taken_as_they_are() -> None:
    """The row of a VOLTTRON registry gives name, units, description and writable."""
    made = register(name="Damper", Units="%", Units_Details="0 to 100", Writable="TRUE", Type="int", Notes="Smallest")
    assert (made.name, made.units, made.description, made.writable) == ("Damper", "%", "Smallest", True)


def test_written_values_outlive_the_connection() -> None:
    """What was written is still there after close and open."""
    interface, made = make(), register(Type="int", Starting_Value="1")
    interface.write(made, 0, {}, Gate())
    interface.close()
    interface.open()
    assert read_one(interface, made) == 0


def test_devices_share_nothing() -> None:
    """A write to one device is not seen in another."""
    made = register(Type="int", Starting_Value="1")
    make().write(made, 5, {}, Gate())
    assert read_one(make(), made) == 1


def test_null_is_refused_before_anything_is_sent() -> None:
    """A fake point has no priorities to relinquish: null is a bad value, and may_send is not asked."""
    gate = Gate()
    with pytest.raises(BadValue):
        make().write(register(Type="int"), None, {}, gate)
    assert gate.calls == 0


def test_closed_interface_reads_and_writes_nothing() -> None:
    """Without a connection reads and writes are Unreachable, and may_send is not asked."""
    interface, made, gate = make(), register(Type="int"), Gate()
    interface.close()
    with pytest.raises(Unreachable):
        read_one(interface, made)
    with pytest.raises(Unreachable):
        interface.write(made, 1, {}, gate)
    assert gate.calls == 0


def test_offline_device_does_not_open() -> None:
    """With ``offline`` the device can not be reached."""
    with pytest.raises(Unreachable):
        make(offline=True)


def test_every_nth_request_times_out() -> None:
    """With ``timeout_every`` 3, the third and sixth requests are Transient and the others answered."""
    interface, made = make(timeout_every=3), register(Type="int")
    outcomes = [_outcome(interface, made) for _ in range(6)]
    assert outcomes == ["value", "value", "timeout", "value", "value", "timeout"]


def test_write_that_times_out_was_taken() -> None:
    """A write whose answer is lost is carried out all the same: the case that a gateway has to tell as unknown."""
    interface, made = make(timeout_every=2), register(Type="int", Starting_Value="1")
    read_one(interface, made)
    with pytest.raises(Transient):
        interface.write(made, 7, {}, Gate())
    assert read_one(interface, made) == 7


def test_rejected_points_fail_alone() -> None:
    """A point in ``reject`` is an error in a poll, its neighbours are not."""
    interface = make(reject=["Bad"])
    rows = [row("Good", Type="int"), row("Bad", Type="int", Starting_Value="1")]
    answer = poll(interface, registers_of(interface, rows))
    assert isinstance(answer["Good"], int)
    assert isinstance(answer["Bad"], PointError)
    assert answer["Bad"].code == "device_rejected"


def test_rejected_write_is_asked_once_and_not_taken() -> None:
    """A write to a point in ``reject`` is sent, refused by the device, and changes nothing."""
    interface, made, gate = make(reject=["P"]), register(name="P", Type="int", Starting_Value="1"), Gate()
    with pytest.raises(Rejected):
        interface.write(made, 2, {}, gate)
    assert gate.calls == 1
    interface.config = FakeConfig()
    assert read_one(interface, made) == 1


def test_refusal_of_may_send_costs_no_request() -> None:
    """A write that may not leave does not count as a request of the device."""
    interface, made = make(timeout_every=1), register(Type="int")
    with pytest.raises(DeadlinePassed):
        interface.write(made, 2, {}, Gate(DeadlinePassed("too late")))


def test_close_ends_the_wait_for_a_slow_answer() -> None:
    """A close from elsewhere ends a read that waits for a slow device, at once."""
    interface, made = make(latency=3600), register(Type="int")
    threading.Timer(0.05, interface.close).start()
    with pytest.raises(Unreachable, match="closed"):
        read_one(interface, made)


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (4, [4]), (9, [4, 4, 1])])
def test_batch_bounds_the_registers_of_a_request(count: int, sizes: list[int]) -> None:
    """With ``batch`` 4, nine registers are read in requests of 4, 4 and 1."""
    interface = make(batch=4)
    made = registers_of(interface, [row(f"P{i}") for i in range(count)])
    assert [len(batch.registers) for batch in interface.batches(made)] == sizes


@pytest.mark.parametrize(
    "config", [{"latency": -1}, {"timeout_every": -1}, {"batch": 0}, {"latency": "nan"}, {"remote_id": 1}]
)
def test_bad_configuration_is_refused(config: dict[str, Any]) -> None:
    """Numbers out of range and keys that are not offered are refused."""
    with pytest.raises(ValidationError):
        FakeConfig.model_validate(config)


def test_empty_configuration_is_volttrons() -> None:
    """VOLTTRON's ``{}`` is a device that answers at once and fails nowhere."""
    interface = make()
    assert all(not isinstance(v, PointError) for v in poll(interface, registers_of(interface, sample_rows())).values())


def _outcome(interface: Interface, made: FakeRegister) -> str:
    try:
        read_one(interface, made)
    except DeviceError as error:
        return error.code
    return "value"
