"""Imported points read, from a real server, the values that the source's program reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.cli.importing import telegraf, thingsboard
from gateway.cli.importing.documents import documents
from gateway.cli.importing.model import Result
from gateway.interfaces.base import Environment
from gateway.model import PointError, Scalar
from gateway.store.compile import compile_device
from tests.interfaces.modbus.servers import PymodbusServer, device

WORDS = [0x0102, 0x0304, 0x0506, 0x0708, 0x4865, 0x6C6C, 0x6F00, 0xFF38]
NUMBER = 0x01020304


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a device with WORDS in its holding registers."""
    with PymodbusServer(device(1, holding=WORDS)) as server:
        yield server.port


def values(result: Result, env: Environment) -> dict[str, Scalar | PointError]:
    """One poll of the only device of a result."""
    files = documents(result, "a/b")
    linked = {topic.removeprefix("config/"): text.encode() for topic, text in files.items()}
    (path,) = [topic for topic in linked if topic.startswith("devices/")]
    spec = compile_device(path.removeprefix("devices/"), linked[path], linked, env, None).spec
    assert spec is not None
    interface = spec.interface(spec.config, env)
    interface.open()
    read: dict[str, Scalar | PointError] = {}
    for batch in interface.batches(spec.registers):
        read |= interface.read(batch)
    interface.close()
    return read


def swapped(number: int, size: int) -> int:
    """A number of so many bytes with the bytes in each register swapped."""
    data = number.to_bytes(size, "big")
    return int.from_bytes(b"".join(data[at : at + 2][::-1] for at in range(0, size, 2)), "big")


def reversed_words(number: int, size: int) -> int:
    """A number of so many bytes with its registers in reverse order."""
    data = number.to_bytes(size, "big")
    return int.from_bytes(b"".join(data[at : at + 2] for at in range(size - 2, -1, -2)), "big")


def test_values_of_thingsboard(port: int, env: Environment):
    """LITTLE as byteOrder swaps the bytes in each register, as wordOrder it reverses the registers; texts have no order."""

    def entry(tag: str, kind: str, order: str, address: int = 0, **keys: Any) -> dict[str, Any]:
        word, byte = ({"B": "BIG", "L": "LITTLE"}[letter] for letter in order)
        return {"tag": tag, "type": kind, "functionCode": 3, "address": address, "byteOrder": byte, "wordOrder": word} | keys

    entries = [
        *(entry(order, "32uint", order, objectsCount=2) for order in ("BB", "BL", "LB", "LL")),
        entry("one", "16uint", "LB"),
        entry("one swapped", "16uint", "BL"),
        entry("high", "8uint", "LL"),
        entry("text", "string", "LL", 4, objectsCount=3),
        entry("scaled", "16int", "BB", 7, divider=10),
        entry("bit", "bits", "LL", 7, bit=3),
        entry("no bit", "bits", "LL", 7, bit=0),
    ]
    slave = {"host": "127.0.0.1", "port": port, "unitId": 1, "method": "socket", "pollPeriod": 1000, "timeseries": entries}

    assert values(thingsboard.convert(json.dumps({"master": {"slaves": [slave]}})), env) == {
        "BB": NUMBER,
        "BL": swapped(NUMBER, 4),
        "LB": reversed_words(NUMBER, 4),
        "LL": swapped(reversed_words(NUMBER, 4), 4),
        "one": 0x0102,
        "one swapped": 0x0201,
        "high": 0x01,
        "text": "Hello",
        "scaled": -20.0,
        "bit": True,
        "no bit": False,
    }


def test_values_of_telegraf(port: int, env: Environment):
    """The orders are those of Telegraf for each size, inside of bytes, bits and texts too."""
    whole = 0x0102030405060708
    orders = ("ABCD", "DCBA", "BADC", "CDAB")
    fields = [
        *(f'{{ address = 0, name = "{kind}", type = "{kind}" }}' for kind in ("UINT16", "UINT32", "UINT64")),
        *(f'{{ address = 0, name = "{kind}", type = "{kind}" }}' for kind in ("UINT8L", "UINT8H")),
        '{ address = 4, name = "text", type = "STRING", length = 3 }',
        '{ address = 7, name = "bit", type = "BIT", bit = 15 }',
        '{ address = 7, name = "low", type = "BIT", bit = 0 }',
    ]
    got = {}
    for order in orders:
        plugin = f'[[inputs.modbus]]\ncontroller = "tcp://127.0.0.1:{port}"\nconfiguration_type = "metric"\n'
        metric = f'[[inputs.modbus.metric]]\nslave_id = 1\nbyte_order = "{order}"\nfields = [{", ".join(fields)}]\n'
        got[order] = values(telegraf.convert(plugin + metric), env)

    assert got["ABCD"] == {
        **{"UINT16": 0x0102, "UINT32": NUMBER, "UINT64": whole, "UINT8L": 0x02, "UINT8H": 0x01},
        **{"text": "Hello", "bit": True, "low": False},
    }
    assert got["CDAB"] == got["ABCD"] | {"UINT32": reversed_words(NUMBER, 4), "UINT64": reversed_words(whole, 8)}
    turned = {"UINT16": 0x0201, "UINT8L": 0x01, "UINT8H": 0x02, "bit": False, "low": True}
    for order, numbers in (("BADC", (NUMBER, whole)), ("DCBA", (reversed_words(NUMBER, 4), reversed_words(whole, 8)))):
        assert {name: got[order][name] for name in turned} == turned
        assert (got[order]["UINT32"], got[order]["UINT64"]) == (swapped(numbers[0], 4), swapped(numbers[1], 8))
        assert isinstance(got[order]["text"], PointError)  # the bytes of this one are not swapped
