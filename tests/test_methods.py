from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import fleet as fleet_module
from gateway.actuator.notices import Notices
from gateway.actuator.office import Office
from gateway.addressing import Addressing
from gateway.board import Board, ConfigReport
from gateway.errors import Rejected, Transient, Unreachable
from gateway.fleet import Fleet
from gateway.interfaces.base import Environment
from gateway.methods import Methods
from gateway.model import Masked, Message, Outgoing, PointError, Quality, Register
from gateway.rpc import Rpc
from gateway.rpc.duplicates import Duplicates
from gateway.rpc.rate import Rate
from gateway.settings import Actuator
from gateway.topics import Topics, matches
from tests.fakes import FakeClock, FakeKeeper, RecordingOutlet, StillThread, Wire, point, spec

PATH = "C/B/D"
STAMP = "2026-11-22T10:00:00.000000Z"
KW = point("kW", units="kW", writable=True, minimum=0, maximum=100, default=1.5)
COUNT = point("Count", "integer", writable=True)
ON = point("On", "boolean", writable=True)
NAME = point("Name", "string", writable=True, default="none")
MODE = point("Mode", "string", raw_type="integer", enum={0: "Off", 1: "Auto"}, writable=True)
SPEED = point("Fan/Speed", writable=True)
FIXED = point("Fixed")
POINTS = (KW, COUNT, ON, NAME, MODE, SPEED, FIXED)


class Rig:
    """A gateway ``edge-1`` with one device, in scope ``C/B/#``; what is asked is carried out step by step."""

    def __init__(self, clock: FakeClock, env: Environment, state: Path, lease_required: bool = False) -> None:
        self.clock = clock
        self.wire = Wire()
        self.out: list[Outgoing] = []
        self.notices: list[Outgoing] = []
        self.read_back: dict[str, Any] | None = None
        topics = Topics("edge-1")
        self.fleet = Fleet(env, RecordingOutlet(), lambda path: None)
        self.board = Board(topics, clock, lambda message: None, "i-1", ("C/B/#",))
        names = Addressing("edge-1", self.fleet, lambda path: matches("C/B/#", path))
        notices = Notices(topics, self.notices.append, self.notices.append)
        rules = Actuator(lease_required=lease_required)
        self.office = Office(rules, "edge-1", env, state, None, self.fleet, self.board, notices, names)
        self.office.desk.open()
        methods = {**Methods(clock, self.fleet, self.board, names).table(), **self.office.table()}
        duplicates = Duplicates(clock, FakeKeeper(), lambda problem: None)
        self.rpc = Rpc(
            topics,
            clock,
            self.out.append,
            methods,
            False,
            duplicates,
            Rate(200, 400),
            self.office.refusals,
            names.concerns,
        )
        self.run()

    def again(self, *registers: Register) -> None:
        """Run the device with other points."""
        self.fleet.stop(PATH)
        self.fleet.has_ended(PATH)
        self.run(*registers)

    def run(self, *registers: Register, path: str = PATH, **options: Any) -> None:
        """Run a device, with all points if none are given."""
        made = spec(self.wire, *(registers or POINTS), path=path, **options)
        self.fleet.run(made, 0.0, self.clock.now())
        self.board.expect(path)
        self.board.config(path, ConfigReport("accepted", "broker", "12ab", "scripted"), b"", None, None)

    def ask(self, about: str, payload: str | dict[str, Any] = "", steps: int = 1) -> Any:
        """The answer to a request: its result, or its error's code; None if there is none. The device has so many steps."""
        self.out.clear()
        text = payload if isinstance(payload, str) else json.dumps(payload)
        self.rpc._take(Message(f"rpc/alice/{about}", text.encode(), received=self.clock.now()))
        if not self.out and steps and PATH in self.fleet._threads:
            for _ in range(steps):
                self.fleet._threads[PATH].device.step()
        if not self.out:
            return None
        [answer] = self.out
        self.body = json.loads(answer.payload)
        return self.body["result"] if "result" in self.body else self.body["error"]["code"]

    def write(self, name: str, payload: str | dict[str, Any], sent: str, taken: Any) -> Any:
        """The answer to a write that sends this."""
        self.wire.expect(f"write {name}={sent}", taken)
        if self.read_back is not None:
            self.wire.expect(f"read {name}", self.read_back)
        answer = self.ask(f"set_point/{PATH}/{name}", payload)
        assert not self.wire.script
        return answer

    @property
    def message(self) -> str:
        """The words of the last error."""
        return str(self.body["error"]["message"])


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "DeviceThread", StillThread)


@pytest.fixture
def rig(clock: FakeClock, env: Environment, tmp_path: Path) -> Rig:
    """A gateway with its device."""
    return Rig(clock, env, tmp_path)


# ---- about the gateway


def test_ping(rig: Rig) -> None:
    """Whoever asks all, or this one, gets an answer that names the gateway."""
    assert rig.ask("ping") == "pong"
    assert rig.body["gateway"] == "edge-1"
    assert rig.ask("ping/edge-1") == "pong"


def test_list_devices(rig: Rig) -> None:
    """Every device of ours with its state."""
    rig.run(KW, path="C/B/A")
    assert rig.ask("list_devices") == {"C/B/A": "starting", "C/B/D": "starting"}


def test_list_points(rig: Rig) -> None:
    """The points as in meta."""
    points = rig.ask(f"list_points/{PATH}")
    assert points.keys() == {register.name for register in POINTS}
    assert points["kW"] == {
        "units": "kW",
        "type": "float",
        "writable": True,
        "min": 0,
        "max": 100,
        "enum": None,
        "default": 1.5,
        "description": "",
        "interval": None,
    }
    assert points["Mode"]["enum"] == {"0": "Off", "1": "Auto"}
    rig.again(replace(KW, priority=10))
    assert rig.ask(f"list_points/{PATH}")["kW"]["priority"] == 10


@pytest.mark.parametrize(
    ("about", "payload"),
    [
        ("ping/edge-2", ""),
        ("ping/edge-2", {"nonsense": 1}),
        ("list_devices/edge-2", ""),
        ("get_point/edge-2", {"device": PATH, "point": "kW"}),
        ("get_point/edge-2", {"nonsense": 1}),
        ("get_point/X/Y/Z/kW", ""),
        ("get_point/C/X/D/kW", {"nonsense": 1}),
        ("get_point", {"device": "X/Y/Z", "point": "kW"}),
        ("get_point/C/B/F/kW", ""),
        ("set_point/C/B/F/kW", {"nonsense": 1}),
        ("get_point", {"device": "C/B/F", "point": "kW", "nonsense": 1}),
    ],
)
def test_what_concerns_another_gateway_is_not_answered(rig: Rig, about: str, payload: Any) -> None:
    """Its id, a device out of our scope, or one that is another's: silence, whatever else is wrong, of either part."""
    rig.fleet.foreign(["C/B/F"])
    assert rig.ask(about, payload, steps=0) is None
    rig.rpc._concerns = lambda target: True
    assert rig.ask(about, payload, steps=0) is None


# ---- what a request names


@pytest.mark.parametrize(
    ("about", "payload"),
    [
        (f"get_point/{PATH}/Fan/Speed", ""),
        (f"get_point/{PATH}", {"point": "Fan/Speed"}),
        ("get_point", {"device": PATH, "point": "Fan/Speed"}),
        ("get_point/edge-1", {"device": PATH, "point": "Fan/Speed"}),
    ],
)
def test_device_and_point_stand_in_topic_or_payload(rig: Rig, about: str, payload: Any) -> None:
    """A point may hold slashes; the gateway may be named beside a device in the payload."""
    rig.wire.expect("read Fan/Speed", {"Fan/Speed": 3.5})
    assert rig.ask(about, payload) == 3.5


def test_the_longest_configured_path_is_the_device(rig: Rig) -> None:
    """A sub-device goes before a point of the device above it."""
    rig.run(KW, path=f"{PATH}/Sub")
    assert rig.ask(f"list_points/{PATH}/Sub").keys() == {"kW"}
    assert rig.ask(f"get_point/{PATH}/Su") == "unknown_point"


@pytest.mark.parametrize(
    ("about", "payload", "code"),
    [
        ("get_point", "", "bad_request"),
        ("get_point", {"point": "kW"}, "bad_request"),
        ("get_point", {"devise": PATH}, "bad_request"),
        (f"get_point/{PATH}", "", "bad_request"),
        (f"get_point/{PATH}", {"point": 7}, "bad_request"),
        (f"get_point/{PATH}/kW", {"point": "kW"}, "bad_request"),
        (f"get_point/{PATH}/kW", {"device": PATH}, "bad_request"),
        ("get_point", {"device": 7, "point": "kW"}, "bad_request"),
        (f"get_point/{PATH}/kW", {"value": 1}, "bad_request"),
        (f"get_point/{PATH}/nothing", "", "unknown_point"),
        (f"get_point/{PATH}/kw", "", "unknown_point"),
        ("get_point/C/B/E/kW", "", "unknown_device"),
        ("get_point", {"device": f"{PATH}/kW", "point": "kW"}, "unknown_device"),
        (f"list_points/{PATH}/kW", "", "bad_request"),
        (f"list_points/{PATH}/nothing", "", "unknown_point"),
        (f"scrape_all/{PATH}/kW", "", "bad_request"),
        (f"scrape_all/{PATH}/nothing", "", "unknown_point"),
        (f"get_points/{PATH}", "", "bad_request"),
        (f"get_points/{PATH}", {"points": []}, "bad_request"),
        (f"get_points/{PATH}", {"points": "kW"}, "bad_request"),
        (f"get_points/{PATH}", {"points": ["kW", 7]}, "bad_request"),
        (f"get_points/{PATH}/kW", {"points": ["kW"]}, "bad_request"),
        (f"get_points/{PATH}", {"points": ["nothing", "nobody"]}, "unknown_point"),
        (f"revert_point/{PATH}/kW", "21.5", "bad_request"),
        (f"revert_device/{PATH}", "true", "bad_request"),
        (f"release_lease/{PATH}", "keep", "bad_request"),
        ("clear_overrides", '"*"', "bad_request"),
        ("request_cancel_schedule", "noon", "bad_request"),
        (f"/{PATH}", "", "unknown_method"),
        ("", "", "unknown_method"),
        ("ping/C/B/D", "", "bad_request"),
        ("ping", {"device": PATH}, "bad_request"),
        ("get_point/C/B/M/kW", "", "misconfigured"),
        ("list_points/C/B/M", "", "misconfigured"),
    ],
)
def test_requests_that_can_not_be_carried_out(rig: Rig, about: str, payload: Any, code: str) -> None:
    """Each is refused with its code, and nothing is asked of the device."""
    rig.fleet.misconfigured("C/B/M")
    assert rig.ask(about, payload) == code
    assert rig.wire.log == []


@pytest.mark.parametrize(
    ("about", "payload", "hint"),
    [
        (f"get_point/{PATH}/kw", "", 'did you mean "kW"?'),
        ("get_point", {"devise": PATH}, 'did you mean "device"?'),
        (f"get_point/{PATH}/kW", {"nonsense": 1}, "known are device, point"),
    ],
)
def test_slips_are_told_with_a_suggestion(rig: Rig, about: str, payload: Any, hint: str) -> None:
    """The answer says how to mend the request."""
    rig.ask(about, payload)
    assert hint in rig.message


# ---- reading


def test_get_point_answers_with_the_value(rig: Rig) -> None:
    """Read from the device now; false and 0 are values like any other."""
    rig.wire.expect("read On", {"On": False})
    assert rig.ask(f"get_point/{PATH}/On") is False
    rig.wire.expect("read Count", {"Count": 0})
    assert rig.ask(f"get_point/{PATH}/Count") == 0


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"kW": PointError("device_rejected", "illegal data address")}, "device_rejected"),
        (Transient("no answer"), "timeout"),
        (Unreachable("connection reset"), "device_offline"),
    ],
)
def test_get_point_fails_with_the_points_code(rig: Rig, answer: Any, code: str) -> None:
    """A refusal, no answer, and a lost connection are told apart."""
    rig.wire.expect("read kW", answer)
    assert rig.ask(f"get_point/{PATH}/kW") == code


def test_get_points_answers_like_a_reading(rig: Rig) -> None:
    """Values and errors of the points asked for, each once."""
    rig.wire.batch = 3
    refused = PointError("device_rejected", "illegal data address")
    rig.wire.expect("read kW,On", {"kW": 2.5, "On": refused})
    assert rig.ask(f"get_points/{PATH}", {"points": ["kW", "On", "kW"]}) == {
        "timestamp": STAMP,
        "values": {"kW": 2.5},
        "errors": {"On": {"code": "device_rejected", "message": "illegal data address"}},
    }


def test_get_points_of_a_name_that_is_unknown(rig: Rig) -> None:
    """It is an error of that point, with the name that was probably meant; the others are read."""
    rig.wire.expect("read kW", {"kW": 2.5})
    result = rig.ask(f"get_points/{PATH}", {"points": ["kW", "Onn"]})
    assert (result["values"], list(result["errors"])) == ({"kW": 2.5}, ["Onn"])
    assert result["errors"]["Onn"]["code"] == "unknown_point"
    assert 'did you mean "On"?' in result["errors"]["Onn"]["message"]


def test_many_names_that_are_unknown_are_told_as_one(rig: Rig) -> None:
    """Up to 100 are errors of their own, the first few with a hint, as that takes long; of more the request is refused."""
    names = [f"Onn{number}" for number in range(100)]
    rig.wire.expect("read kW", {"kW": 2.5})
    errors = rig.ask(f"get_points/{PATH}", {"points": ["kW", *names]})["errors"]
    assert list(errors) == names
    assert len([error for error in errors.values() if "did you mean" in error["message"]]) <= 3
    assert rig.ask(f"get_points/{PATH}", {"points": ["kW", *names, "On!"]}) == "unknown_point"
    assert 'lacks 101 of these points, "Onn0" among them' in rig.message


def test_a_write_only_point_is_never_read(rig: Rig) -> None:
    """A request for it says why there is no value, others leave it out, and it is written like any point."""
    rig.run(FIXED, point("Reset", writable=True, write_only=True))
    rig.fleet._threads[PATH].device.step()
    assert rig.ask(f"get_point/{PATH}/Reset") == "bad_request"
    assert "write-only" in rig.message
    rig.wire.expect("read Fixed", {"Fixed": 2.0})
    assert rig.ask(f"scrape_all/{PATH}") == {"timestamp": STAMP, "values": {"Fixed": 2.0}, "errors": {}}
    rig.wire.expect("read Fixed", {"Fixed": 2.0})
    errors = rig.ask(f"get_points/{PATH}", {"points": ["Fixed", "Reset"]})["errors"]
    assert list(errors) == ["Reset"]
    assert rig.write("Reset", "1", "1.0", 1.0) == 1.0


def test_scrape_all_reads_every_point(rig: Rig) -> None:
    """In as many requests as it takes."""
    rig.wire.batch = 4
    rig.wire.expect("read kW,Count,On,Name", {"kW": 2.5, "Count": 1, "On": True, "Name": "x"})
    rig.wire.expect("read Mode,Fan/Speed,Fixed", {"Mode": 1, "Fan/Speed": 1.0, "Fixed": 2.0})
    result = rig.ask(f"scrape_all/{PATH}", steps=2)
    assert result["errors"] == {}
    assert result["values"] == {
        "kW": 2.5,
        "Count": 1,
        "On": True,
        "Name": "x",
        "Mode": "Auto",
        "Fan/Speed": 1.0,
        "Fixed": 2.0,
    }


def test_last_answers_from_memory(rig: Rig) -> None:
    """The last good value with its age, and the error of the newest try; nothing is asked of the device."""
    assert rig.ask(f"last/{PATH}/kW") == {"value": None, "timestamp": None, "age": None, "error": None}
    rig.wire.expect("read kW", {"kW": 2.5})
    rig.ask(f"get_point/{PATH}/kW")
    rig.clock.advance(1.5)
    assert rig.ask(f"last/{PATH}/kW") == {"value": 2.5, "timestamp": STAMP, "age": 1.5, "error": None}
    rig.wire.expect("read kW", Transient("no answer"))
    rig.ask(f"get_point/{PATH}/kW")
    last = rig.ask(f"last/{PATH}")
    assert last.keys() == {register.name for register in POINTS}
    assert last["kW"] == {
        "value": 2.5,
        "timestamp": STAMP,
        "age": 1.5,
        "error": {"code": "timeout", "message": "no answer"},
    }
    assert rig.ask(f"last/{PATH}/nothing") == "unknown_point"


# ---- writing: values


@pytest.mark.parametrize(
    ("name", "payload", "sent", "taken"),
    [
        ("kW", "21.5", 21.5, 21.5),
        ("kW", " 0\n", 0.0, 0.0),
        ("kW", {"value": 21}, 21.0, 21.0),
        ("Count", "5.0", 5, 5),
        ("Count", "0", 0, 0),
        ("On", "true", True, True),
        ("On", "0", False, False),
        ("On", {"value": 1}, True, True),
        ("Name", "Office", "Office", "Office"),
        ("Name", "21.5", "21.5", "21.5"),
        ("Name", "true", "true", "true"),
        ("Name", '"a \\"b\\""', 'a "b"', 'a "b"'),
        ("Name", '""', "", ""),
        ("Name", {"value": ""}, "", ""),
        ("Name", '{"value": "null"}', "null", "null"),
        ("Mode", "Auto", 1, 1),
        ("Mode", "0", 0, 0),
        ("Mode", '"Off"', 0, 0),
        ("Mode", {"value": 1}, 1, 1),
        ("Fan/Speed", "2", 2.0, 2.0),
    ],
)
def test_a_value_is_plain_text_or_an_argument(rig: Rig, name: str, payload: Any, sent: Any, taken: Any) -> None:
    """A person writes it as it is, a program as JSON; a text point takes any text, an enum point one of its texts."""
    answer = rig.write(name, payload, sent, taken)
    assert answer == ({0: "Off", 1: "Auto"}[taken] if name == "Mode" else taken)


def test_the_answer_is_what_the_device_took(rig: Rig) -> None:
    """Not what was asked."""
    assert rig.write("kW", "21.5", "21.5", 21.25) == 21.25


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("kW", "", "bad_request"),
        ("kW", "  ", "bad_request"),
        ("kW", "{}", "bad_request"),
        ("Name", "", "bad_request"),
        ("Name", "{}", "bad_request"),
        ("Name", ' {"priority": 8}', "bad_request"),
        ("Name", "{abc", "bad_request"),
        ("kW", "Auto", "bad_value"),
        ("kW", "true", "bad_value"),
        ("kW", '"21.5"', "bad_value"),
        ("kW", "[1]", "bad_value"),
        ("kW", "NaN", "bad_value"),
        ("kW", "1e400", "bad_value"),
        ("kW", "100.1", "out_of_range"),
        ("kW", "-1", "out_of_range"),
        ("Count", "5.5", "bad_value"),
        ("Count", "true", "bad_value"),
        ("On", "2", "bad_value"),
        ("On", "True", "bad_value"),
        ("Name", '"abc', "bad_value"),
        ("Name", {"value": 5}, "bad_value"),
        ("Mode", "auto", "bad_value"),
        ("Mode", "2", "bad_value"),
        ("Fixed", "1", "read_only"),
        ("Fixed", "", "read_only"),
        ("kW", {"value": 1, "priority": 8}, "bad_request"),
        ("kW", {"valeu": 1}, "bad_request"),
        ("nothing", "1", "unknown_point"),
    ],
)
def test_values_that_do_not_fit_are_refused(rig: Rig, name: str, payload: Any, code: str) -> None:
    """Nothing is bent or guessed, and nothing reaches the device."""
    assert rig.ask(f"set_point/{PATH}/{name}", payload) == code
    assert rig.wire.log == []


@pytest.mark.parametrize(
    ("name", "payload", "sent"), [("kW", "null", 1.5), ("Name", "null", "none"), ("Name", {"value": None}, "none")]
)
def test_null_goes_back_to_the_default(rig: Rig, name: str, payload: Any, sent: Any) -> None:
    """Where the protocol knows no priorities."""
    assert rig.write(name, payload, sent, sent) == sent


def test_null_without_a_default_is_refused(rig: Rig) -> None:
    """There is nothing to go back to."""
    assert rig.ask(f"set_point/{PATH}/Count", "null") == "bad_value"


def test_null_relinquishes_where_the_protocol_can(rig: Rig) -> None:
    """The driver gets the null and the priority; the default stays out of it."""
    rig.again(replace(KW, priority=16))
    assert rig.write("kW", {"value": None, "priority": 8}, "None", None) is None
    assert rig.wire.options == {"priority": 8}
    assert rig.write("kW", "null", "None", None) is None
    assert rig.wire.options == {"priority": 16}


def test_null_is_the_default_where_the_device_has_no_priorities(rig: Rig) -> None:
    """A point that could have priorities, and has none in this device, goes back to its default."""
    rig.again(replace(KW, priority=16))
    rig.wire.relinquishes = False
    assert rig.write("kW", "null", "1.5", 1.5) == 1.5


def test_a_masked_write_says_what_the_point_holds(rig: Rig) -> None:
    """The value is in our slot, and a higher priority is in force: a success that tells both."""
    rig.again(replace(KW, priority=16))
    assert rig.write("kW", "12", "12.0", Masked(12.0, 40.0)) == 12.0
    assert rig.body["effective"] == 40.0
    rig.wire.expect("write kW=12.0", Masked(12.0, 40.0))
    assert rig.ask(f"set_points/{PATH}", {"values": {"kW": 12}}) == {
        "values": {"kW": 12.0},
        "errors": {},
        "effective": {"kW": 40.0},
    }
    assert rig.write("kW", "null", "None", Masked(None, 40.0)) is None
    assert rig.body["effective"] == 40.0


def test_a_priority_that_is_kept_for_others_is_refused(rig: Rig) -> None:
    """Nothing is sent at a priority above the device's least number, or to a point without priorities."""
    rig.again(replace(KW, priority=10, min_priority=8), COUNT)
    assert rig.write("kW", {"value": 1, "priority": 8}, "1.0", 1.0) == 1.0
    assert rig.ask(f"set_point/{PATH}/kW", {"value": 1, "priority": 7}) == "bad_request"
    assert "8 to 16" in rig.message
    assert rig.ask(f"set_point/{PATH}/Count", {"value": 1, "priority": 8}) == "bad_request"
    answer = rig.ask(f"set_points/{PATH}", {"values": {"kW": 1, "Count": 1}, "priority": 8})
    assert answer["errors"]["Count"]["code"] == "bad_request"


# ---- writing: what becomes of it


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Transient("no answer"), "outcome_unknown"),
        (Unreachable("reset"), "outcome_unknown"),
        (Rejected("illegal data value"), "device_rejected"),
    ],
)
def test_a_write_that_left_is_answered_with_what_is_known(rig: Rig, answer: Exception, code: str) -> None:
    """A refusal is one; no answer is an unknown outcome, with what the point holds then."""
    if code == "outcome_unknown":
        rig.read_back = {"kW": 1.0}
    assert rig.write("kW", "1", "1.0", answer) == code


def test_a_write_under_a_lease_alone(clock: FakeClock, env: Environment, tmp_path: Path) -> None:
    """Where a lease is required, by the settings or the device's config, a write without one is refused."""
    rig = Rig(clock, env, tmp_path, lease_required=True)
    assert rig.ask(f"set_point/{PATH}/kW", "1") == "lease_required"
    rig.run(KW, path="C/B/E", lease_required=False)
    assert rig.ask("set_point/C/B/E/kW", "1", steps=0) is None
    (tmp_path / "other").mkdir()
    rig = Rig(clock, env, tmp_path / "other")
    rig.run(KW, path="C/B/E", lease_required=True)
    assert rig.ask("set_point/C/B/E/kW", "1") == "lease_required"


def test_a_write_to_a_device_that_has_gone_does_not_leave(rig: Rig) -> None:
    """The owner is looked at again right before the bytes go."""
    assert rig.ask(f"set_point/{PATH}/kW", "1", steps=0) is None
    rig.fleet.foreign([PATH])
    rig.fleet.device(PATH).step()
    assert json.loads(rig.out[0].payload)["error"]["code"] == "unknown_device"
    assert "write" not in " ".join(rig.wire.log)


def test_a_stopped_device_is_unknown(rig: Rig) -> None:
    """While its thread still ends nothing can be asked of it."""
    rig.fleet.stop(PATH)
    assert rig.ask(f"get_point/{PATH}/kW") == "unknown_device"


def test_a_request_crosses_no_reload(rig: Rig) -> None:
    """What was looked up in one specification is not asked under another."""
    assert rig.ask(f"get_point/{PATH}/kW", steps=0) is None
    rig.run(COUNT)
    rig.fleet.device(PATH).step()
    rig.fleet.device(PATH).step()
    assert json.loads(rig.out[0].payload)["error"]["code"] == "busy"
    assert "read kW" not in rig.wire.log


def test_points_are_told_as_far_as_the_device_has_described_them(rig: Rig) -> None:
    """Units that only the device knows stand in the answer once they are learned."""
    rig.fleet.device(PATH).facts = ("Count is in pulses",)
    assert rig.ask(f"list_points/{PATH}")["Count"]["units"] == "pulses"


def test_last_tells_the_quality_of_a_doubtful_value(rig: Rig) -> None:
    """Only where the device has something against its value."""
    rig.fleet.device(PATH).last.partly(1.0, {"kW": 1.0, "Count": 2}, {}, {"kW": Quality(("fault",))})
    answer = rig.ask(f"last/{PATH}")
    assert answer["kW"]["quality"] == {"flags": ["fault"]}
    assert "quality" not in answer["Count"]


def test_a_device_with_many_points_goes_back_as_a_whole(rig: Rig) -> None:
    """However many points there are, none is refused because the others wait."""
    points = [replace(KW, name=f"p{n}", priority=16, min_priority=8) for n in range(100)]
    rig.again(*points, COUNT)
    for register in points:
        rig.wire.expect(f"write {register.name}=None", None)
    answer = rig.ask(f"revert_device/{PATH}", {"priority": 9}, steps=100)
    assert answer == {"values": {register.name: None for register in points}, "errors": {}}
    assert rig.wire.options == {"priority": 9}
    assert rig.ask(f"revert_device/{PATH}", {"priority": 7}) == "bad_request"
