"""Instruments on pseudo terminals: asked, listened to, several on a line, unplugged."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import BadValue, ConfigFault, ReadOnly, Rejected, Transient, Unreachable
from gateway.interfaces._links import GiveWay
from gateway.interfaces._text import client
from gateway.interfaces.base import Environment
from gateway.interfaces.serial import Interface
from gateway.model import PointError
from gateway.testing import poll, read_one
from gateway.vitals import Vitals
from tests.fakes import FakeClock, Gate
from tests.integration.waiting import PATIENCE, eventually
from tests.interfaces.modbus.bus import Bus
from tests.interfaces.serial.instruments import env, make, points, row

WEIGHT = row("w", r"ST,GS,([-+] *[\d.]+) *kg", "Q")


def scripted(answers: dict[bytes, bytes | None]):
    """An instrument that knows these lines; None is silence, and what it does not know is too."""

    def answer(request: bytes) -> Iterator[bytes]:
        said = answers.get(request.strip(b"\r\n"))
        if said is not None:
            yield said + b"\r\n"

    return answer


def test_byte_by_byte_with_noise_before(tmp_path: Path) -> None:
    """What was said before the request is read away, and an answer in single bytes is whole."""

    def answer(request: bytes) -> Iterator[bytes]:
        for byte in b"ST,GS,+  12.34 kg\r\n":
            yield bytes((byte,))
            time.sleep(0.001)

    with Bus(tmp_path, 1, answer=answer) as bus, closing(make(bus.paths[0])) as interface:
        interface.open()
        bus.say(b"\xff\x00ST,GS,+  99.99 kg\r\nST,GS,+  77")
        assert poll(interface, points(interface, WEIGHT)) == {"w": 12.34}
        bus.say(b"ST,GS,+  99.99 kg\r\n")
        assert poll(interface, points(interface, WEIGHT)) == {"w": 12.34}


def test_points_of_one_request_share_an_exchange(tmp_path: Path) -> None:
    """It is asked once for all, also where other rows stand between them, and each takes its part."""
    rows = [
        row("w", r"(..),GS,(.*) kg", "Q", Group="2"),
        row("v", r"V(\d+)", "V", Type="int"),
        row("s", r"(?P<state>..),GS,(.*) kg", "Q", Group="state", Type="bool", Words="ST=1;US=0"),
        row("bad", r"(..),NT,(.*) kg", "Q", Group="1"),
    ]
    with Bus(tmp_path, 1, answer=scripted({b"Q": b"US,GS,+ 1.5 kg", b"V": b"V7"})) as bus:
        interface = make(bus.paths[0])
        with closing(interface):
            answer = poll(interface, points(interface, *rows))
            assert answer.pop("bad") == PointError("bad_value", "the answer does not fit the Pattern")
            assert answer == {"w": 1.5, "v": 7, "s": False}
            assert b"".join(bus.heard) == b"Q\r\nV\r\n"


def test_an_answer_without_a_value_is_each_points_error(tmp_path: Path) -> None:
    """One that fits no pattern is bad_value and cited, one of the error pattern device_rejected."""
    with Bus(tmp_path, 1, answer=scripted({b"Q": b"OL", b"V": b"E5"})) as bus:
        interface = make(bus.paths[0], error_pattern="E[0-9]", timeout=0.05 * PATIENCE)
        with closing(interface):
            answer = poll(interface, points(interface, row("v", "V(.*)", "V"), WEIGHT))
            assert answer == {
                "w": PointError("bad_value", 'the device answered "OL", which fits no Pattern'),
                "v": PointError("device_rejected", 'the device answered "E5"'),
            }


# ---- writing


@pytest.mark.parametrize(
    ("said", "columns", "taken"),
    [
        (b"OK", {"Answer": "OK"}, 21.6),
        (b"SP=21.6", {"Answer": "SP={value}"}, 21.6),
        (b"SP=20.0", {"Answer": r"SP=(?P<value>[\d.]+)"}, 20.0),
        (b"anything", {}, 21.6),
    ],
)
def test_what_a_write_says(tmp_path: Path, said: bytes, columns: dict[str, str], taken: float) -> None:
    """What the instrument says it took, else what was sent, which is as long as its format."""
    point = row("sp", Write="SP={value:.1f}", **columns)
    with Bus(tmp_path, 1, answer=scripted({b"SP=21.6": said})) as bus, closing(make(bus.paths[0])) as interface:
        (register,) = points(interface, point)
        assert interface.write(register, 21.57, {}, Gate()) == taken
        assert eventually(lambda: bus.heard, "the write") == [b"SP=21.6\r\n"]


@pytest.mark.parametrize(
    ("said", "error"), [(b"E3", Rejected), (b"SP=9", Transient), (None, Transient), (b"SP=21", Transient)]
)
def test_a_write_that_is_not_confirmed(tmp_path: Path, said: bytes | None, error: type[Exception]) -> None:
    """A refusal is told, anything else leaves open what happened; it is sent once."""
    answer = scripted({b"SP=21.5": said})
    with Bus(tmp_path, 1, answer=answer) as bus, closing(make(bus.paths[0], error_pattern="E.", retries=3)) as interface:
        (register,) = points(interface, row("sp", Write="SP={value:.1f}", Answer="SP={value}"))
        with pytest.raises(error):
            interface.write(register, 21.5, {}, Gate())
        assert bus.heard == [b"SP=21.5\r\n"]


def test_a_write_is_read_back(tmp_path: Path) -> None:
    """What the instrument then holds is the answer; without any confirmation the end is not known."""
    answers: dict[bytes, bytes | None] = {b"SP=30": b"OK", b"SP?": b"SP 25"}
    rows = [
        row("sp", r"SP (\d+)", "SP?", Write="SP={value:.0f}", Answer="OK"),
        row("u", r"U (\d+)", "U?", Write="U={value}"),
    ]
    with Bus(tmp_path, 1, answer=scripted(answers)) as bus, closing(make(bus.paths[0], timeout=0.1 * PATIENCE)) as interface:
        confirmed, unconfirmed = points(interface, *rows)
        assert interface.write(confirmed, 30.0, {}, Gate()) == 25
        answers[b"SP?"] = None
        assert interface.write(confirmed, 30.0, {}, Gate()) == 30
        with pytest.raises(Transient, match="does not confirm writes"):
            interface.write(unconfirmed, 1.0, {}, Gate())


def test_nothing_in_a_value_can_be_another_command(tmp_path: Path) -> None:
    """A text with a line end, a start, a control character or a strange letter is refused, and nothing is sent."""
    with Bus(tmp_path, 1) as bus, closing(make(bus.paths[0], request_terminator=";", request_start="#")) as interface:
        text, command, read_only = points(
            interface, row("s", Type="string", Write="S{value}"), row("t", Type="bool", Write="T"), WEIGHT
        )
        for value in ("a\rT", "a\nb", "a;T", "#T", "\x1b", "ü", "x" * 300, "a\u2028b"):
            with pytest.raises(BadValue):
                interface.write(text, value, {}, Gate())
        with pytest.raises(BadValue, match="true only"):
            interface.write(command, False, {}, Gate())
        with pytest.raises(ReadOnly):
            interface.write(read_only, 1.0, {}, Gate())
        assert bus.heard == []


# ---- listening


class Talker:
    """Says lines on a bus until it is told to stop."""

    def __init__(self, bus: Bus, interval: float = 0.01) -> None:
        self.weight = 0
        self._bus = bus
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            self.weight += 1
            self._bus.say(b"ST,GS,+ %d kg\r\nUS,GS,+ 0 kg\r\n" % self.weight)

    def __enter__(self) -> Talker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


STREAMED = row("w", r"ST,GS,([-+] *[\d.]+) *kg")


def test_the_newest_line_counts_and_no_old_one(tmp_path: Path) -> None:
    """After a pause of the polls the value is of now; when the talking stops it is an error after the silence allowed."""
    with Bus(tmp_path, 1) as bus:
        silence = 0.6 * PATIENCE
        interface = make(bus.paths[0], listen=True, max_silence=silence)
        registers = points(interface, STREAMED, row("other", r"NT,(.*) kg"))
        with closing(interface):
            interface.open()
            with Talker(bus, 0.005) as talker:
                first = poll(interface, registers)
                assert first["other"] == PointError("timeout", f"no line that fits the Pattern for {silence:g} s")
                before = talker.weight
                time.sleep(0.25)
                second = poll(interface, registers)["w"]
                assert isinstance(second, float)
                assert second >= before + (talker.weight - before) / 2
            assert eventually(lambda: poll(interface, registers)["w"] == talker.weight, "the last line", timeout=0.2)
            time.sleep(silence + 0.05)
            with pytest.raises(Transient, match="no line that fits"):
                poll(interface, registers)


def test_a_line_that_was_joined_or_broken_off_is_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the end of a line that began before, nor two halves of different lines."""
    monkeypatch.setattr("gateway.interfaces._text.listener._BROKEN_OFF", 0.05)
    with Bus(tmp_path, 1) as bus:
        interface = make(bus.paths[0], listen=True, max_silence=0.5)
        registers = points(interface, row("n", r"([\d.]+)"))
        with closing(interface):
            interface.open()
            bus.say(b"2.5\r\n")
            with pytest.raises(Transient):
                poll(interface, registers)
            bus.say(b"1")
            time.sleep(0.1)
            bus.say(b"2.5\r\n")
            time.sleep(0.1)
            with pytest.raises(Transient):
                poll(interface, registers)
            bus.say(b"7.5\r\n")
            assert eventually(lambda: read_quietly(interface, registers), "a line") == {"n": 7.5}


def test_what_has_waited_long_is_thrown_away(tmp_path: Path) -> None:
    """Four kilobytes at once were held somewhere: none of their lines is taken, nor one that goes on behind them."""
    with Bus(tmp_path, 1) as bus:
        interface = make(bus.paths[0], listen=True, max_silence=0.3)
        registers = points(interface, row("n", r"([\d.]+)"))
        with closing(interface):
            interface.open()
            line = interface._client._seat.line  # type: ignore[union-attr]
            assert line.listener is not None
            line.listener.heard([registers[0].reply])
            with line.listener._changed:
                line.listener._take(b"0\r\n" + b"1.0\r\n" * 818 + b"12")
                line.listener._take(b".5\r\n")
            with pytest.raises(Transient):
                poll(interface, registers)
            bus.say(b"3.5\r\n")
            assert eventually(lambda: read_quietly(interface, registers), "a line") == {"n": 3.5}


def read_quietly(interface: Interface, registers: list) -> object:
    """A poll, or None if nothing was heard."""
    try:
        return poll(interface, registers)
    except Transient:
        return None


def test_a_request_while_it_talks(tmp_path: Path) -> None:
    """Commands and questions work beside the lines that come unasked."""
    answer = scripted({b"V": b"V7", b"T": b"OK"})
    with Bus(tmp_path, 1, answer=answer) as bus:
        interface = make(bus.paths[0], listen=True, max_silence=2)
        registers = points(interface, STREAMED, row("v", r"V(\d+)", "V"), row("t", Type="bool", Write="T", Answer="OK"))
        with closing(interface), Talker(bus):
            interface.open()
            assert interface.write(registers[2], True, {}, Gate()) is True
            answers = poll(interface, registers[:2])
            assert answers["v"] == 7
            assert isinstance(answers["w"], float)


def test_what_was_said_before_a_request_is_not_its_answer(tmp_path: Path) -> None:
    """Also while it is listened to: only what comes after the request counts."""
    with Bus(tmp_path, 1, answer=scripted({b"V": b"V7"})) as bus:
        interface = make(bus.paths[0], listen=True)
        asked, heard = points(interface, row("v", r"V(\d+)", "V"), row("h", r"V(\d+)"))
        with closing(interface):
            interface.open()
            interface.urgent = True
            assert read_quietly(interface, [heard]) is None  # from now on it is listened for
            bus.say(b"\r\nV1\r\n")
            assert eventually(lambda: read_quietly(interface, [heard]), "the line") == {"h": 1}
            assert read_one(interface, asked) == 7


def test_a_poll_that_waits_for_a_first_line_gives_way(tmp_path: Path) -> None:
    """When something urgent comes for the device, it is served before."""
    with Bus(tmp_path, 1) as bus, closing(make(bus.paths[0], listen=True, max_silence=60)) as interface:
        (batch,) = interface.batches(points(interface, STREAMED))
        interface.open()
        timer = threading.Timer(0.1, interface.nudge)
        timer.start()
        with pytest.raises(GiveWay):
            interface.read(batch)
        timer.join()
        interface.urgent = True
        with pytest.raises(Transient):
            interface.read(batch)


# ---- several on a line


def test_instruments_of_a_line_are_asked_in_turn(tmp_path: Path) -> None:
    """Each has an address in the same registry, and a late answer of one is never another's."""

    def answer(request: bytes) -> Iterator[bytes]:
        if request[1:3] == b"01":
            time.sleep(0.25 * PATIENCE)  # later than it may be
        yield b">" + request[1:3] + b".5\r\n"

    level = row("level", r">([\d.]+)", "#{address}0")
    with Bus(tmp_path, 1, answer=answer) as bus:
        lent = env()
        made = {n: make(bus.paths[0], lent, address=f"{n:02}", timeout=0.1 * PATIENCE) for n in (1, 2, 3)}
        for interface in made.values():
            interface.open()
        for _ in range(2):
            with pytest.raises(Transient):
                poll(made[1], points(made[1], level))
            for n in (2, 3):
                assert poll(made[n], points(made[n], level)) == {"level": n + 0.5}
        for interface in made.values():
            interface.close()


def test_answers_that_say_whose_they_are_keep_nobody_waiting(tmp_path: Path) -> None:
    """Where the pattern has the address in it, a silent instrument costs its timeout and no more."""
    level = row("level", r"{address}:([\d.]+)", "#{address}0")
    answer = scripted({b"#020": b"02:2.5"})
    with Bus(tmp_path, 1, answer=answer) as bus:
        lent = env()
        dead, live = (make(bus.paths[0], lent, address=a, timeout=0.1 * PATIENCE) for a in ("01", "02"))
        dead.open()
        live.open()
        begin = time.monotonic()
        with pytest.raises(Transient):
            poll(dead, points(dead, level))
        assert poll(live, points(live, level)) == {"level": 2.5}
        assert time.monotonic() - begin < 0.5 * PATIENCE
        dead.close()
        live.close()


def test_a_silent_instrument_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a timeout nothing is asked until its answer could not be late any more."""
    monkeypatch.setattr(client, "_LEAST_REST", 0.3)
    with Bus(tmp_path, 1, answer=scripted({})) as bus, closing(make(bus.paths[0], timeout=0.05 * PATIENCE)) as interface:
        registers = points(interface, WEIGHT)
        begin = time.monotonic()
        for _ in range(2):
            with pytest.raises(Transient):
                poll(interface, registers)
        assert time.monotonic() - begin >= 0.39


def test_devices_of_a_line_must_agree(tmp_path: Path) -> None:
    """One that wants other lines is told which keys differ."""
    with Bus(tmp_path, 1, answer=scripted({})) as bus:
        lent = env()
        with closing(make(bus.paths[0], lent)) as first, closing(make(bus.paths[0], lent, terminator="\r")) as second:
            first.open()
            with pytest.raises(Unreachable, match="another terminator"):
                second.open()


# ---- the port


def plug(folder: Path, answer=None) -> Bus:
    """A bus whose first end has the name ``bus0``, again after it was unplugged."""
    return Bus(folder, 1, answer=answer)


@pytest.mark.parametrize("listen", [False, True])
def test_a_port_that_is_plugged_in_again(tmp_path: Path, listen: bool) -> None:
    """Unplugged, it is Unreachable; when it is back by the same name the next open has it."""
    answer = scripted({b"Q": b"ST,GS,+ 1 kg"})
    with plug(tmp_path, answer) as bus:
        interface = make(bus.paths[0], listen=listen, max_silence=0.2)
        interface.open()
        register = points(interface, WEIGHT)[0]
        assert read_one(interface, register) == 1
    for _ in range(2):
        with pytest.raises(Unreachable):
            read_one(interface, register)
        interface.close()
    with plug(tmp_path, answer):
        interface.open()
        assert read_one(interface, register) == 1
        interface.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("listen")]


def test_a_port_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """What was known of its line does not stay, though its name leads elsewhere meanwhile."""
    lent = env()
    with plug(tmp_path, scripted({})) as bus:
        interface = make(bus.paths[0], lent)
        interface.open()
        assert len(lent.links._links) == 1
    interface.close()
    assert lent.links._links == {}


def test_a_listener_that_lost_its_port_takes_no_time(tmp_path: Path) -> None:
    """Its thread ends, and a poll is told at once."""
    with plug(tmp_path) as bus:
        interface = make(bus.paths[0], listen=True, max_silence=30)
        interface.open()
        register = points(interface, STREAMED)[0]
    begin = time.monotonic()
    with pytest.raises(Unreachable):
        read_one(interface, register)
    assert time.monotonic() - begin < 1 * PATIENCE
    interface.close()


def test_a_listener_that_fails_is_told_and_another_one_takes_its_place(tmp_path: Path) -> None:
    """A bug of ours on its thread is no silence of the instrument: the poll fails at once, and the next one works."""
    with Bus(tmp_path, 1) as bus, closing(make(bus.paths[0], listen=True, max_silence=60)) as interface, Talker(bus):
        register = points(interface, STREAMED)[0]
        interface.open()
        line = interface._client._seat.line  # type: ignore[union-attr]
        assert line.listener is not None
        with capture_logs() as told:
            line.listener._splitter = None  # type: ignore[assignment]
            with pytest.raises(Unreachable, match="a failure in the gateway"):
                read_one(interface, register)
        assert [each["event"] for each in told] == ["listening failed; the device is connected anew"]
        interface.close()
        interface.open()
        assert isinstance(read_one(interface, register), float)


def test_a_listener_that_hangs_is_missed(tmp_path: Path, clock: FakeClock) -> None:
    """Also while its instrument is silent, as is right for one that is well; and not any more once it has ended."""
    going = threading.Event()

    def hang() -> None:
        going.wait()

    name = f"listen to {tmp_path / 'bus0'}"
    vitals = Vitals(clock, {name: hang})
    lent = replace(env(), clock=clock, vitals=vitals)

    def missed() -> list[str]:
        clock.advance(1.1 * vitals.patience)
        return vitals.late(vitals.patience)

    with Bus(tmp_path, 1) as bus, closing(make(bus.paths[0], lent, listen=True)) as interface:
        interface.open()
        eventually(lambda: missed() == [name], "it is missed")
        going.set()
        eventually(lambda: vitals.late(vitals.patience) == [], "it lives")
        interface.close()
        assert missed() == []


def test_a_poll_that_waits_for_a_line_is_told_that_the_port_has_gone(tmp_path: Path) -> None:
    """At once, not when its time is over."""
    bus = plug(tmp_path)
    with closing(make(bus.paths[0], listen=True, max_silence=60)) as interface:
        bus.__enter__()
        interface.open()
        timer = threading.Timer(0.1, bus.__exit__)
        timer.start()
        with pytest.raises(Unreachable, match="broke"):
            read_one(interface, points(interface, STREAMED)[0])
        timer.join()


def test_a_port_must_be_allowed(tmp_path: Path) -> None:
    """A path or an address outside of the allow-lists is a fault of device_address."""
    for place in ("/dev/mem", "203.0.113.5"):
        config = {"device_address": place} | ({} if place.startswith("/") else {"port": 4001})
        with pytest.raises(ConfigFault, match=r"setting allow\.") as raised:
            Interface(Interface.Config.model_validate(config), Environment(FakeClock())).check()
        assert raised.value.where == "device_address"
