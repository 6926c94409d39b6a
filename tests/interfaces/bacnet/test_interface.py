"""The BACnet interface on a device on paper: what it asks, and what it makes of the answers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.allow import Allow
from gateway.errors import (
    BadValue,
    ConfigFault,
    DeadlinePassed,
    GatewayError,
    NotSent,
    NotTaken,
    OutOfRange,
    Rejected,
    Transient,
    Unreachable,
)
from gateway.interfaces._bacnet.rows import BacnetRegister, BacnetRow
from gateway.interfaces._bacnet.values import Changed, Failure, Item, Lapsed, Ref, Restarted
from gateway.interfaces.bacnet import Interface
from gateway.interfaces.base import Environment
from gateway.model import Masked, PointError, Quality, Scalar
from gateway.testing import InterfaceContract, Peer, poll
from tests.fakes import FakeClock, Gate
from tests.interfaces.bacnet.paper import FLAGS, LOST, RELIABILITY, TEXTS, TIMEOUT, UNITS, UNREACHABLE, Paper, flags


def real(value: float) -> Item:
    """A REAL."""
    return Item("real", value)


def texts(*names: str) -> Item:
    """An array of texts."""
    return Item("list", [Item("character-string", name) for name in names])


def row(name: str, kind: str, instance: int = 1, **columns: Any) -> dict[str, Any]:
    """A row; columns are written with ``_`` for the space."""
    cells = {"Volttron Point Name": name, "BACnet Object Type": kind, "Index": instance}
    return {title: str(cell) for title, cell in (cells | {c.replace("_", " "): v for c, v in columns.items()}).items()}


class Rig:
    """An interface to a device on paper."""

    def __init__(self, *rows: dict[str, Any], device: Paper | None = None, **config: Any) -> None:
        self.clock = FakeClock()
        self.device = device or hall()
        self.env = Environment(self.clock, networks=self.device)
        self.interface = Interface(Interface.Config.model_validate({"device_id": 99} | config), self.env)
        self.rows = [*rows] or ROWS
        self.registers = [self.interface.register(BacnetRow.model_validate(row)) for row in self.rows]
        self.alarms = 0

    def open(self) -> Rig:
        """Connect, with nothing left to be asked but values."""
        self.interface.open()
        return self

    def poll(self) -> dict[str, Scalar | PointError]:
        """All points."""
        return poll(self.interface, self.registers)

    def __getitem__(self, name: str) -> BacnetRegister:
        [found] = [register for register in self.registers if register.name == name]
        assert isinstance(found, BacnetRegister)
        return found

    def write(self, name: str, value: Scalar | None, **options: Any) -> Any:
        """Write a point."""
        return self.interface.write(self[name], value, options, Gate())


ROWS = [
    row("SAT", "analogInput"),
    row("Setpoint", "analogOutput", Writable="TRUE", Write_Priority=10),
    row("Fan", "binaryValue", 5, Writable="TRUE"),
    row("Mode", "multiStateValue", 3, Writable="TRUE"),
    row("Name", "characterstring-value", 2, Writable="TRUE"),
]


def hall() -> Paper:
    """A device with an object of most kinds."""
    device = Paper()
    device.add((0, 1), real(21.5)).objects[0, 1][UNITS] = Item("enumerated", 62)
    device.commandable((1, 1), real(12.0))
    device.commandable((5, 5), Item("enumerated", 0))
    device.commandable((19, 3), Item("unsigned", 2)).objects[19, 3][TEXTS] = texts("Off", "Auto", "On")
    device.add((40, 2), Item("character-string", "Hall"))
    return device


# ---- reading


def test_one_request_reads_many_objects_with_their_flags() -> None:
    """ReadPropertyMultiple asks for value and status flags of all that fits."""
    rig = Rig(status_flags=True).open()
    assert rig.poll() == {"SAT": 21.5, "Setpoint": 12.0, "Fan": False, "Mode": 2, "Name": "Hall"}
    assert rig.device.log[-1].count("pv") == rig.device.log[-1].count("flags") == 5
    assert rig.interface.quality == {}


def test_units_are_asked_once_for_each_connection_and_stand_in_meta() -> None:
    """Units of points whose row names none are learned, recalled, and asked again after a reconnect."""
    rig = Rig(row("SAT", "analogInput"), row("Named", "analogOutput", Units="K")).open()
    rig.poll()
    rig.poll()
    asked = [asked for asked in rig.device.log if "units" in asked]
    assert asked == ["read-multiple 0/1.units"]
    assert "analog-input 1: units degrees-celsius" in rig.interface.learned()
    assert rig.interface.learned() is rig.interface.learned()
    described = Interface.described(rig.registers, rig.interface.learned())
    assert [register.units for register in described] == ["degrees-celsius", "K"]
    rig.interface.close()
    rig.interface.open()
    rig.poll()
    assert len([asked for asked in rig.device.log if "units" in asked]) == 2


def test_clients_do_not_wait_for_units() -> None:
    """What a client asks for is asked alone."""
    rig = Rig().open()
    rig.interface.urgent = True
    assert poll(rig.interface, [rig["SAT"]]) == {"SAT": 21.5}
    assert rig.device.log == ["read-multiple 0/1.pv 0/1.flags"]


def test_texts_of_states_come_from_the_device_by_choice() -> None:
    """With ``enumerations: text`` a multi-state point is told, written and described by the device's own texts."""
    rig = Rig(row("Mode", "multiStateValue", 3, Writable="TRUE"), enumerations="text").open()
    rig.interface.urgent = True
    assert rig.poll() == {"Mode": "Auto"}
    assert rig.write("Mode", "On") == "On"
    assert rig.device.writes == [(Ref(19, 3), "unsigned", 3, 16)]
    [mode] = Interface.described(rig.registers, rig.interface.learned())
    assert mode.enum == {1: "Off", 2: "Auto", 3: "On"}
    for wrong in ("Hand", "4", "0"):
        with pytest.raises(BadValue, match="Off, Auto, On"):
            rig.write("Mode", wrong)
    assert len(rig.device.writes) == 1


def test_states_without_a_text_are_numbers() -> None:
    """A device that has no texts, or too few, is told by number."""
    rig = Rig(row("Mode", "multiStateValue", 3, Writable="TRUE"), enumerations="text").open()
    rig.device.objects[19, 3][TEXTS] = texts("Off")
    assert rig.poll() == {"Mode": "2"}
    other = Rig(row("Mode", "multiStateValue", 3, Writable="TRUE"), enumerations="text").open()
    del other.device.objects[19, 3][TEXTS]
    assert other.poll() == {"Mode": "2"}
    assert other.write("Mode", "3") == "3"


def test_an_enum_column_goes_before_the_devices_texts() -> None:
    """The registry's Enum gives the texts, for binary points too."""
    rig = Rig(
        row("Mode", "multiStateValue", 3, Enum="1=Aus;2=Ein"),
        row("Fan", "binaryValue", 5, Enum="0=Still;1=Dreht", Writable="TRUE"),
        enumerations="text",
    ).open()
    assert rig.poll() == {"Mode": "Ein", "Fan": "Still"}
    assert rig.write("Fan", "Dreht") == "Dreht"
    assert rig.device.writes[-1][1:3] == ("enumerated", 1)


def test_a_point_that_the_device_does_not_have_costs_no_other() -> None:
    """Unknown objects and properties are errors of their points, to be left out for a while."""
    rig = Rig(row("SAT", "analogInput"), row("Gone", "analogInput", 9), row("Tag", "analogInput", Property="deviceType"))
    answer = rig.open().poll()
    assert answer["SAT"] == 21.5
    for name in ("Gone", "Tag"):
        error = answer[name]
        assert isinstance(error, PointError)
        assert (error.code, error.unsupported) == ("device_rejected", True)
        assert "unknown" in error.message


def test_a_device_without_read_multiple_is_asked_one_by_one() -> None:
    """The refusal is remembered; status flags are not asked for then."""
    rig = Rig().open()
    rig.device.multiple = False
    assert rig.poll() == {"SAT": 21.5, "Setpoint": 12.0, "Fan": False, "Mode": 2, "Name": "Hall"}
    rig.device.log.clear()
    rig.poll()
    assert all(asked.startswith("read ") for asked in rig.device.log)
    assert [asked for asked in rig.device.log if "pv" in asked] == [
        "read 0/1.pv", "read 1/1.pv", "read 5/5.pv", "read 19/3.pv", "read 40/2.pv"
    ]  # fmt: skip
    assert {"one property at a time", "analog-input 1: units degrees-celsius"} <= set(rig.interface.learned())


def test_use_read_multiple_false_never_tries() -> None:
    """VOLTTRON's key is honoured."""
    rig = Rig(use_read_multiple=False).open()
    rig.poll()
    assert not [asked for asked in rig.device.log if "multiple" in asked]


def test_answers_that_are_too_long_are_halved_and_that_is_remembered() -> None:
    """A device that can not segment its answer is asked for less, in this poll already and in all later ones."""
    rows = [row(f"P{n}", "analogInput", n, Units="K") for n in range(24)]
    device = Paper(most=14)
    for n in range(24):
        device.add((0, n), real(float(n)))
    rig = Rig(*rows, device=device).open()
    assert rig.poll() == {f"P{n}": float(n) for n in range(24)}
    rig.device.log.clear()
    assert rig.poll() == {f"P{n}": float(n) for n in range(24)}
    assert max(asked.count("pv") for asked in device.log) <= 7
    assert len(device.log) <= 5
    [fact] = [fact for fact in rig.interface.learned() if "octets" in fact]
    again = Rig(*rows, device=device)
    again.interface.recall((fact,))
    again.open().device.log.clear()
    again.poll()
    assert max(asked.count("pv") for asked in device.log) <= 7


def test_a_device_short_of_resources_is_asked_for_less_this_time_only() -> None:
    """It may have been so for a moment: nothing is held against it."""
    rig = Rig().open()
    rig.poll()
    short = Failure("abort", "abort: out-of-resources", "out-of-resources")
    rig.device.failures.append(short)
    assert rig.poll()["SAT"] == 21.5
    assert not [fact for fact in rig.interface.learned() if "octets" in fact]
    rig.device.log.clear()
    rig.poll()
    assert len(rig.device.log) == 1


def test_one_answer_that_is_too_long_is_an_error_of_its_point() -> None:
    """What can not be divided any more is told as the device's refusal."""
    rig = Rig(row("SAT", "analogInput", Units="K")).open()
    long = Failure("abort", "abort: buffer-overflow", "buffer-overflow")
    rig.device.failures.extend([long, long])
    assert rig.poll() == {"SAT": PointError("device_rejected", "abort: buffer-overflow")}


def test_requests_are_sized_to_the_device() -> None:
    """No answer is expected to be longer than the device's APDU, nor to have more points than ``max_per_request``."""
    rows = [row(f"P{n}", "analogInput", n, Units="K") for n in range(100)]
    device = Paper(max_apdu=206)
    counts = [len(b.registers) for b in Rig(*rows, device=device).open().interface.batches(Rig(*rows).registers)]
    assert max(counts) < 10
    rig = Rig(*rows, max_per_request=10000).open()
    assert max(len(batch.registers) for batch in rig.interface.batches(rig.registers)) > 30
    rig = Rig(*rows).open()
    assert {len(batch.registers) for batch in rig.interface.batches(rig.registers)} == {24, 4}


@pytest.mark.parametrize(
    ("failure", "error"), [(TIMEOUT, Transient), (LOST, Unreachable), (UNREACHABLE, Unreachable)], ids=lambda x: str(x)[:20]
)
def test_no_answer_is_no_value(failure: Failure, error: type[GatewayError]) -> None:
    """A timeout concerns the request, a network that is gone the device."""
    rig = Rig(row("SAT", "analogInput", Units="K")).open()
    rig.device.failures.append(failure)
    with pytest.raises(error):
        rig.poll()


def test_values_that_are_not_what_they_should_be_are_errors() -> None:
    """Null, not a number, and another datatype than the row's."""
    rig = Rig(row("SAT", "analogInput"), row("Setpoint", "analogOutput"), row("Fan", "binaryValue", 5)).open()
    rig.device.objects[0, 1][85] = real(math.nan)
    rig.device.objects[1, 1][85] = Item("null", None)
    rig.device.objects[5, 5][85] = Item("enumerated", 7)
    answer = rig.poll()
    assert [answer[n].code for n in answer if isinstance(answer[n], PointError)] == ["bad_value"] * 3


def test_what_the_device_says_against_a_value_goes_with_it() -> None:
    """Fault, overridden and out of service, and from the next poll on why; it ends with them."""
    rig = Rig(row("SAT", "analogInput", Units="K"), row("Setpoint", "analogOutput", Units="K")).open()
    rig.device.objects[0, 1] |= {FLAGS: flags("fault", "out_of_service"), RELIABILITY: Item("enumerated", 4)}
    assert rig.poll()["SAT"] == 21.5
    assert rig.interface.quality == {"SAT": Quality(("fault", "out_of_service"))}
    rig.poll()
    assert rig.interface.quality == {"SAT": Quality(("fault", "out_of_service"), "open-loop")}
    rig.device.objects[0, 1] |= {FLAGS: flags(), RELIABILITY: Item("enumerated", 0)}
    rig.poll()
    assert rig.interface.quality == {}
    rig.device.log.clear()
    rig.poll()
    assert "why" not in rig.device.log[0]


def test_a_notice_does_not_take_the_reason_away() -> None:
    """Notices bring flags and no reliability: what is known of it stays until the fault ends."""
    rig = Rig(*COV).open()
    rig.device.objects[0, 1] |= {FLAGS: flags("fault"), RELIABILITY: Item("enumerated", 4)}
    rig.poll()
    rig.poll()
    rig.device.told = [changed(Ref(0, 1), real(22.0), flags("fault", "overridden"))]
    rig.interface.notices()
    assert rig.interface.quality == {"SAT": Quality(("fault", "overridden"), "open-loop")}
    rig.device.told = [changed(Ref(0, 1), real(22.0), flags("overridden"))]
    rig.interface.notices()
    assert rig.interface.quality == {"SAT": Quality(("overridden",))}


def test_flags_that_make_a_device_refuse_the_whole_request_are_asked_once() -> None:
    """The value is read alone from then on."""
    rig = Rig(row("SAT", "analogInput", Units="K")).open()
    rig.interface.urgent = True
    rig.device.failures.append(Failure("error", "property: unknown-property", "unknown-property", "property"))
    assert rig.poll() == {"SAT": 21.5}
    rig.device.log.clear()
    assert rig.poll() == {"SAT": 21.5}
    assert rig.device.log == ["read-multiple 0/1.pv"]


def test_flags_that_a_device_lacks_do_not_hurt() -> None:
    """Status flags are optional for value objects of old devices."""
    rig = Rig(row("SAT", "analogInput", Units="K")).open()
    del rig.device.objects[0, 1][FLAGS]
    assert rig.poll() == {"SAT": 21.5}
    assert rig.interface.quality == {}


def test_the_device_is_told_the_time_on_request() -> None:
    """``time_synchronization_interval`` seconds apart, from the first poll on."""
    rig = Rig(row("SAT", "analogInput", Units="K"), time_synchronization_interval=100).open()
    rig.poll()
    rig.poll()
    assert rig.device.times == [rig.clock.wall()]
    rig.clock.advance(100)
    rig.poll()
    assert len(rig.device.times) == 2
    quiet = Rig().open()
    quiet.poll()
    assert quiet.device.times == []


# ---- connection


def test_an_address_that_is_not_allowed_is_refused() -> None:
    """``allow.networks`` holds for the address in the config, and for the one where a device is found."""
    env = Environment(FakeClock(), Allow(networks=("loopback",)))
    config = Interface.Config.model_validate({"device_address": "10.0.0.5"})
    with pytest.raises(ConfigFault, match=r"allow\.networks"):
        Interface(config, env).check()
    Interface(Interface.Config.model_validate({"device_address": "2001:7"}), env).check()
    rig = Rig()
    rig.device.address = "8.8.8.8"
    with pytest.raises(Unreachable, match=r"allow\.networks"):
        rig.open()


def test_without_the_stack_there_is_a_word_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that was installed without the extra says what to install."""
    monkeypatch.setattr("gateway.interfaces.bacnet.find_spec", lambda name: None)
    with pytest.raises(ConfigFault, match=r"gateway\[bacnet\]"):
        Rig().interface.check()


def test_closing_leaves_the_session() -> None:
    """After close nothing is asked, and open joins again."""
    rig = Rig().open()
    session = rig.interface._peer.session
    rig.interface.close()
    assert session is not None
    assert getattr(session, "left") is True  # noqa: B009  # the paper's own
    with pytest.raises(Unreachable):
        rig.poll()
    rig.open()
    assert rig.device.sessions == 2


# ---- changes that are told


COV = [row("SAT", "analogInput", COV_Flag="TRUE", Units="K"), row("Fan", "binaryValue", 5, COV_Flag="yes", Writable="TRUE")]


def changed(ref: Ref, value: Item, told: Item | None = None) -> Changed:
    """A notice."""
    return Changed(ref, {85: value} | ({111: told} if told else {}), 1_000.0)


def test_changes_are_subscribed_once_for_each_connection() -> None:
    """Points with a COV Flag, and no others; they are polled all the same."""
    rig = Rig(*COV, row("Again", "analogInput", COV_Flag="TRUE", Units="K"), row("Plain", "analogOutput", Units="K")).open()
    rig.poll()
    assert rig.poll()["SAT"] == 21.5
    assert rig.device.subscribed == [Ref(0, 1), Ref(5, 5)]
    rig.interface.close()
    rig.open()
    rig.poll()
    assert len(rig.device.subscribed) == 4


def test_a_notice_is_a_value_with_its_flags() -> None:
    """Several changes of one point stay several; flags are told with the value."""
    rig = Rig(*COV).open()
    rig.poll()
    rig.device.told = [
        changed(Ref(0, 1), real(22.0), flags("fault")),
        changed(Ref(5, 5), Item("enumerated", 1)),
        changed(Ref(0, 1), real(23.0), flags("fault")),
        changed(Ref(0, 99), real(1.0)),
    ]
    assert rig.interface.notices() == [{"SAT": 22.0, "Fan": True}, {"SAT": 23.0}]
    assert rig.interface.quality == {"SAT": Quality(("fault",))}
    assert rig.interface.notices() == []


def test_flags_of_notices_count_where_polls_read_them_too() -> None:
    """Else nothing would take them back."""
    for config in ({"status_flags": False}, {"use_read_multiple": False}):
        rig = Rig(*COV, **config).open()
        rig.poll()
        rig.device.told = [changed(Ref(0, 1), real(22.0), flags("fault"))]
        assert rig.interface.notices() == [{"SAT": 22.0}]
        assert rig.interface.quality == {}


def test_a_subscription_that_is_refused_is_told_until_it_works() -> None:
    """Why changes are not told stands in what was learned."""
    rig = Rig(*COV).open()
    rig.poll()
    rig.device.told = [Lapsed(Ref(0, 1), Failure("error", "services: optional-functionality-not-supported"))]
    assert rig.interface.notices() == []
    told = "analog-input 1: changes are not told: services: optional-functionality-not-supported"
    assert told in rig.interface.learned()
    rig.device.told = [changed(Ref(0, 1), real(22.0))]
    rig.interface.notices()
    assert told not in rig.interface.learned()


def test_a_device_that_started_again_is_asked_again() -> None:
    """It may have been changed: units are read again."""
    rig = Rig(*COV, row("Out", "analogOutput")).open()
    rig.poll()
    rig.device.told = [Restarted()]
    rig.interface.notices()
    rig.device.log.clear()
    rig.poll()
    assert "read-multiple 1/1.units" in rig.device.log


# ---- writing


def test_a_write_goes_to_the_registrys_priority_or_the_one_that_is_named() -> None:
    """Value types are those of the object; the slot is read back."""
    rig = Rig().open()
    assert rig.write("Setpoint", 1e-3) == 1e-3
    assert rig.write("Setpoint", 55.0, priority=9) == 55.0
    assert rig.write("Fan", True) is True
    assert rig.write("Mode", 3) == 3
    assert rig.write("Name", "two words") == "two words"
    assert rig.device.writes == [
        (Ref(1, 1), "real", 1e-3, 10),
        (Ref(1, 1), "real", 55.0, 9),
        (Ref(5, 5), "enumerated", 1, 16),
        (Ref(19, 3), "unsigned", 3, 16),
        (Ref(40, 2), "character-string", "two words", None),
    ]


def test_null_relinquishes_one_slot() -> None:
    """The others stay as they are."""
    rig = Rig().open()
    rig.write("Setpoint", 55.0)
    rig.device.command((1, 1), real(30.0), 12)
    assert rig.write("Setpoint", None) is None
    assert [item.value for item in rig.device.slots[1, 1] if item.value is not None] == [30.0]
    assert rig.device.objects[1, 1][85] == real(30.0)


def test_a_human_at_a_higher_priority_masks_a_write() -> None:
    """Our slot holds our value, the answer tells what is in force, and the human's slot is not touched."""
    rig = Rig().open()
    rig.device.command((1, 1), real(40.0), 8)
    assert rig.write("Setpoint", 55.0) == Masked(55.0, 40.0)
    assert rig.write("Setpoint", None) == Masked(None, 40.0)
    assert rig.device.slots[1, 1][7] == real(40.0)
    assert {priority for _, _, _, priority in rig.device.writes} == {10}


def test_a_mask_of_the_same_value_is_told_too() -> None:
    """Who holds the point is what counts."""
    rig = Rig().open()
    rig.device.command((1, 1), real(55.0), 8)
    assert rig.write("Setpoint", 55.0) == Masked(55.0, 55.0)


def test_without_read_multiple_the_slot_is_read_back_too() -> None:
    """One property at a time."""
    rig = Rig(use_read_multiple=False).open()
    rig.device.command((1, 1), real(40.0), 8)
    assert rig.write("Setpoint", 55.0) == Masked(55.0, 40.0)


def test_a_priority_array_that_is_too_long_is_read_in_part() -> None:
    """A device of small APDUs tells our slot alone: that is compared with the present value."""
    rig = Rig().open()
    rig.device.command((1, 1), real(40.0), 8)
    long = Failure("abort", "abort: buffer-overflow", "buffer-overflow")
    rig.device.failures.extend([None, long, None, long])
    assert rig.write("Setpoint", 55.0) == Masked(55.0, 40.0)
    assert rig.device.log[-1] == "read 1/1.slots[10]"
    rig.device.failures.extend([None, long, None, long])
    assert rig.write("Setpoint", None) is None, "what is in force then is not above us, as far as is known"


def test_a_write_that_can_not_be_read_back_is_what_was_written() -> None:
    """The device has confirmed it."""
    rig = Rig().open()
    rig.device.failures.extend([None, TIMEOUT])
    assert rig.write("Setpoint", 55.0) == 55.0


def test_a_slot_that_is_empty_after_a_confirmed_write_is_told() -> None:
    """Promised and not done is no success."""
    rig = Rig().open()
    rig.device.write = lambda *args: None  # type: ignore[method-assign]
    with pytest.raises(NotTaken, match="priority 10"):
        rig.write("Setpoint", 55.0)


def test_an_object_without_a_priority_array_is_written_plainly() -> None:
    """A value object may have none: that is asked once, remembered, and then no priority is named."""
    rig = Rig(row("Value", "analogValue", 7, Writable="TRUE")).open()
    rig.device.add((2, 7), real(3.0))
    assert rig.interface.relinquishes(rig["Value"]) is False
    assert rig.write("Value", 4.0, priority=8) == 4.0
    assert rig.device.writes == [(Ref(2, 7), "real", 4.0, None)]
    with pytest.raises(BadValue, match="no priority array"):
        rig.write("Value", None)
    assert rig.device.log.count("read 2/7.slots[0]") == 1
    assert "analog-value 7: no priority array" in rig.interface.learned()


def test_whether_there_are_priorities_is_asked_again_at_each_connection() -> None:
    """A controller may be reprogrammed: a write at a slot that is taken for the value would never be given up."""
    rig = Rig(row("Value", "analogValue", 7, Writable="TRUE"))
    rig.device.add((2, 7), real(3.0))
    rig.interface.recall(("analog-value 7: no priority array",))
    rig.device.commandable((2, 7), real(3.0))
    assert rig.open().interface.relinquishes(rig["Value"]) is True
    assert rig.interface.learned() == ()
    rig.device.told = [Restarted()]
    del rig.device.slots[2, 7]
    rig.interface.notices()
    assert rig.interface.relinquishes(rig["Value"]) is False


@pytest.mark.parametrize(("failure", "error"), [(TIMEOUT, Transient), (LOST, Unreachable)], ids=["timeout", "lost"])
def test_nothing_is_written_while_it_is_not_known_whether_it_can_be_given_back(
    failure: Failure, error: type[GatewayError]
) -> None:
    """The question about the priority array comes first."""
    rig = Rig().open()
    rig.device.failures.append(failure)
    with pytest.raises(error):
        rig.interface.relinquishes(rig["Fan"])
    assert rig.device.writes == []


def test_a_null_to_a_named_priority_needs_no_question() -> None:
    """A revert after a restart goes out at once."""
    rig = Rig().open()
    assert rig.write("Fan", None, priority=9) is None
    assert rig.device.log[0] == "write 5/5.pv=None@9"


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure("error", "property: write-access-denied", "write-access-denied", "property"), Rejected),
        (Failure("reject", "reject: invalid-tag", "invalid-tag"), Rejected),
        (Failure("abort", "abort: security-error", "security-error"), Rejected),
        (TIMEOUT, Transient),
        (LOST, Unreachable),
        (UNREACHABLE, NotSent),
        (Failure("not_sent", "the deadline came"), DeadlinePassed),
        (Failure("busy", "too much is under way"), DeadlinePassed),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_what_becomes_of_a_write_is_told_by_name(failure: Failure, error: type[GatewayError]) -> None:
    """A refusal with its words, a silence as unknown, what has not left as that; never sent twice."""
    rig = Rig().open()
    rig.device.failures.append(failure)
    with pytest.raises(error) as raised:
        rig.write("Setpoint", 55.0)
    assert type(raised.value) is error
    assert failure.message in raised.value.message
    assert len([asked for asked in rig.device.log if asked.startswith("write")]) == 1


def test_the_right_to_write_goes_along() -> None:
    """The network gets the time until when the write may leave, at most the time that a request has."""
    rig = Rig(apdu_timeout=2, apdu_retries=1).open()
    rig.interface.write(rig["Setpoint"], 5.0, {}, lambda: rig.clock.now() + 1.5)
    rig.write("Setpoint", 6.0)
    assert rig.device.deadlines == [rig.clock.now() + 1.5, rig.clock.now() + 4]


def test_values_that_the_datatype_can_not_hold_are_refused_before_the_wire() -> None:
    """Single precision, 32 bits, and no negative state."""
    rig = Rig(
        row("Setpoint", "analogOutput", Writable="TRUE"),
        row("Mode", "multiStateValue", 3, Writable="TRUE"),
        row("Number", "integer-value", 1, Writable="TRUE"),
    ).open()
    for name, value in (("Setpoint", 1e39), ("Mode", -1), ("Number", 2**31)):
        rig.interface._slots[rig[name].ref.object_type, rig[name].ref.instance] = True
        with pytest.raises(OutOfRange):
            rig.write(name, value)
    assert rig.device.writes == []


# ---- the contract


class PaperPeer(Peer):
    """A device on paper that goes away and comes back."""

    def __init__(self, device: Paper, rows: list[dict[str, Any]]) -> None:
        super().__init__(Interface, {"device_id": 99}, rows)
        self.device = device

    def make(self) -> Interface:
        """An interface to it."""
        made = self.driver(self.driver.Config.model_validate(self.config), Environment(self.clock, networks=self.device))
        assert isinstance(made, Interface)
        return made

    def stop(self) -> None:
        """It goes."""
        self.device.there = False

    def start(self) -> None:
        """It comes back."""
        self.device.there = True


class TestPaperContract(InterfaceContract):
    """The contract, kept by the BACnet interface with a device on paper."""

    @pytest.fixture
    def peer(self) -> Peer:
        """A device with points of most kinds, and a scaled one."""
        rows = [*ROWS, row("Scaled", "analogValue", 8, Scale="0.5", Writable="TRUE"), row("Plain", "analogValue", 7)]
        return PaperPeer(hall().commandable((2, 8), real(2.0)).add((2, 7), real(3.0)), rows)
