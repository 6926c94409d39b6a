"""What a config and a registry of an instrument may say: each fault is told with its key, or its row and column."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import ConfigFault
from gateway.interfaces._text import patterns
from gateway.interfaces._text.config import Checksum, SerialConfig
from gateway.interfaces._text.register import TextRegister
from gateway.interfaces.base import Environment
from gateway.interfaces.serial import Interface
from gateway.store.compile import compile_device
from gateway.store.faults import line
from tests.fakes import FakeClock
from tests.interfaces.serial.instruments import make, points, row
from tests.markdown import ROOT

PAGE = (ROOT / "docs" / "drivers" / "serial.md").read_text()
CODE = re.compile(r"`([^`]+)`")
PORT = {"device_address": "/dev/ttyUSB0"}


def faults(driver_config: dict[str, Any], *rows: dict[str, Any]) -> list[str]:
    """What is said against a device config."""
    config = {"driver_type": "serial", "driver_config": driver_config, "registry_config": list(rows)}
    verdict = compile_device("C/B/D", json.dumps(config).encode(), {}, Environment(FakeClock()), None)
    assert (verdict.spec is None) == bool(verdict.errors)
    return [line(fault) for fault in verdict.errors]


@pytest.mark.parametrize(
    ("given_keys", "told"),
    [
        ({"device_address": "10.0.0.5"}, "driver_config.port: .*a host needs one"),
        (PORT | {"port": 4001}, "driver_config.port: .*a serial port has none"),
        ({"host": "10.0.0.5", "port": 4001, "baudrate": 9600}, "driver_config.baudrate: .*serial port of this machine only"),
        ({"host": "8.8.8.8", "port": 4001}, r"driver_config.device_address: .*allow\.networks"),
        ({"device_address": "/etc/passwd"}, r"driver_config.device_address: .*allow\.serial_ports"),
        ({"device_address": "/dev/../etc/passwd"}, "driver_config.device_address: .*not the path of a serial port"),
        (PORT | {"terminator": ""}, "driver_config.terminator: .*a line needs an end"),
        (PORT | {"terminator": "\\q"}, r"driver_config.terminator: .*is no escape"),
        (PORT | {"start": "\\x2"}, r"driver_config.start: .*is no escape"),
        (PORT | {"checksum": {"kind": "md5"}}, "driver_config.checksum.kind: .*xor"),
        (PORT | {"checksum": {"kind": "xor", "seperator": "*"}}, "driver_config.checksum.seperator: is not known"),
        (PORT | {"error_pattern": "("}, "driver_config.error_pattern: not a pattern of RE2"),
        (PORT | {"error_pattern": "{address}"}, "driver_config.error_pattern: .*key address"),
        (PORT | {"address": "a b"}, "driver_config.address: .*without blanks"),
        (PORT | {"encoding": "ebcdic"}, "driver_config.encoding: .*ascii"),
        (PORT | {"max_line": 5000}, "driver_config.max_line"),
        (PORT | {"terminater": "\r"}, r"driver_config.terminater: is not known \(suggestion: terminator\)"),
    ],
)
def test_a_bad_key_is_named(given_keys: dict[str, Any], told: str) -> None:
    """Without a network, each key with what is wrong."""
    found = faults(given_keys, row("w", "(.*)", "Q"))
    assert any(re.match(told, one) for one in found), found


@pytest.mark.parametrize(
    ("bad", "column", "told"),
    [
        (row("w"), "Pattern", "is missing"),
        (row("w", "(.*)"), "Request", "listen: true"),
        (row("w", request="Q", Write="T", Type="bool"), "Pattern", "answers to the Request"),
        (row("w", "(", "Q"), "Pattern", "not a pattern of RE2"),
        (row("w", r"(a)\1", "Q"), "Pattern", "not a pattern of RE2"),
        (row("w", "(a)(b)", "Q"), "Group", "2 groups"),
        (row("w", "(a)", "Q", Group="weight"), "Group", "no group weight; it has 1"),
        (row("w", "(?P<w>a)", "Q", Group="3"), "Group", "it has 1, w"),
        (row("w", "(a)", r"Q\q"), "Request", "is no escape"),
        (row("w", "(a)", "Q{value}"), "Request", "no place"),
        (row("w", "(a)", "Q{address}"), "Request", "key address"),
        (row("w", "{address}(a)", "Q"), "Pattern", "key address"),
        (row("w", "(a)", "Q°"), "Request", "encoding ascii"),
        (row("w", "(a)", "Q", Type="flaot"), "Type", "the types are"),
        (row("w", "(a)", "Q", Lines="0"), "Lines", "below 1"),
        (row("w", "(a)", "Q", Writable="true"), "Write", "is missing"),
        (row("w", "(a)", "Q", Write="S{value}", Writable="false"), "Writable", "say TRUE"),
        (row("w", "(a)", "Q", Write="S{value:999f}"), "Write", "no format"),
        (row("w", "(a)", "Q", Write="S{value:d}"), "Write", "does not fit the Type float"),
        (row("w", "(a)", "Q", Write="S{value}{value}"), "Write", "may stand once"),
        (row("w", "(a)", "Q", Write="S"), "Write", "Type is boolean"),
        (row("w", "(a)", "Q", Write="S{value}", Answer="(?P<value"), "Answer", "not a pattern of RE2"),
        (row("w", "(a)", "Q", Answer="OK"), "Answer", "there is none"),
        (row("w", "(a)", "Q", Words="A=1"), "Words", "not float ones"),
        (row("w", "(a)", "Q", Type="int", Words="A"), "Words", "word=number"),
        (row("w", "(a)", "Q", Type="int", Words="A=1;A=2"), "Words", "once"),
        (row("w", "(a)", "Q", Type="bool", Words="A=2"), "Words", "0 and 1 only"),
        (row("w", "(a)", "Q", Enum="0=Off"), "Enum", "not float ones"),
    ],
)
def test_a_bad_cell_is_named(bad: dict[str, Any], column: str, told: str) -> None:
    """The row, the column, and what is wrong with it; the good rows beside it are not mentioned."""
    (found,) = faults(PORT, row("good", "(.*)", "Q"), bad, row("good too", "(.*)", "Q"))
    assert found.startswith(f'registry row 2, key "{column}": ')
    assert told in found


CELLS = st.text(alphabet="aQ0.*+()[]{}|\\?:<>P=value;1address\"'\x02 °", max_size=24)


@given(CELLS, CELLS, CELLS, CELLS, CELLS, CELLS)
def test_any_row_is_a_register_or_a_fault(
    request: str, pattern: str, group: str, write: str, answer: str, words: str
) -> None:
    """Whatever stands in the cells, nothing but a ConfigFault comes of it."""
    interface = make(4001, address="07")
    given_row = row("p", pattern, request, Group=group, Write=write, Answer=answer, Words=words, Type="int", Writable="true")
    try:
        (register,) = points(interface, given_row)
    except ConfigFault as fault:
        assert fault.where in ("Request", "Pattern", "Group", "Write", "Answer", "Words", "Writable")  # noqa: PT017  # one of two good ends
    else:
        assert isinstance(register, TextRegister)


def test_the_address_stands_in_requests_and_patterns() -> None:
    """The same registry serves each instrument of a line."""
    (register,) = points(make(4001, address="0.7"), row("p", "{address}:(.*)", "{address}?"))
    assert register.request == b"0.7?"
    assert register.reply.match([b"0.7:1"]) == ["0.7:1", "1"]
    assert register.reply.match([b"007:1"]) is None


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where google-re2 is missing, the fault says once what to install."""
    monkeypatch.setitem(__import__("sys").modules, "re2", None)
    with pytest.raises(ConfigFault, match=r"gateway\[instruments\]"):
        patterns.need_re2()
    assert [f for f in faults(PORT, row("w", "(.*)", "Q")) if "instruments" in f] == [
        "driver_config: instruments need the package google-re2: install gateway[instruments]"
    ]


def test_all_names_of_a_line_are_one() -> None:
    """What is shared is known by the port, however it is written."""
    one, other = (Interface(SerialConfig(device_address=host, port=1), Environment(FakeClock())) for host in ("A.b", "a.B."))
    assert one.shares()[0] == other.shares()[0]
    assert one.link() == other.link()


def test_a_port_is_looked_for_often() -> None:
    """One of this machine every 4 seconds at least, a host as any device."""
    assert make("/dev/ttyUSB0").longest_pause == 4
    assert make(4001).longest_pause == 30


# ---- the driver's page


def examples(heading: str) -> Iterator[tuple[str, Any]]:
    """Each key of the tables below a heading, with the example beside it."""
    text = PAGE[PAGE.index(heading) :]
    for told in text[: text.index("\n## ", 5) if "\n## " in text[5:] else None].splitlines():
        cells = told.split(" | ")
        if told.startswith("| `") and len(cells) == 4 and CODE.fullmatch(cells[1].strip()):
            for key in CODE.findall(cells[0]):
                yield key, json.loads(cells[1].strip().strip("`"))


@pytest.mark.parametrize(("key", "value"), list(examples("## `driver_config`")))
def test_an_example_of_a_key_is_taken(key: str, value: Any) -> None:
    """The model takes the key with the value of its example."""
    base = {"device_address": "10.0.0.5", "port": 4001} if key == "port" else PORT
    assert key in SerialConfig.model_validate(base | {key: value}).model_fields_set


def test_every_key_has_an_example() -> None:
    """No key of the model is missing on the page, nor one of a checksum."""
    assert set(SerialConfig.model_fields) == {key for key, _ in examples("## `driver_config`")}
    assert set(Checksum.model_fields) == {key for key, _ in examples("### Checksums")}


@pytest.mark.parametrize("keys", re.findall(r'^\| .* \| `("(?:start|terminator)": .*)` \|$', PAGE, re.MULTILINE))
def test_the_kinds_of_lines_on_the_page_are_taken(keys: str) -> None:
    """Each line of the table of instruments is a config."""
    config = SerialConfig.model_validate(PORT | json.loads("{" + keys + "}"))
    assert config.answers().check is not None


def test_an_nmea_sentence_is_read_as_the_page_says() -> None:
    """The keys of the page are those that a real sentence needs."""
    config = SerialConfig.model_validate(PORT | {"start": "$", "checksum": {"kind": "xor", "separator": "*"}})
    sentence = b"GPGLL,5057.970,N,00146.110,E,142451,A"
    assert config.answers().framed(sentence) == b"$" + sentence + b"*27\r\n"


def test_an_unknown_member_of_a_checksum_is_refused() -> None:
    """A misspelt one must not be lost in silence."""
    with pytest.raises(ValidationError):
        Checksum.model_validate({"kind": "xor", "foo": 1})
