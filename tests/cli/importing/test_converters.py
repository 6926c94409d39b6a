"""The converters on documents that no program wrote, and what single types and orders become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.importing import telegraf, thingsboard
from gateway.cli.importing.documents import documents
from gateway.cli.importing.model import ImportFault, Result, Row

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 70000)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "x", "rtu", "3-9"])
)


def values(*keys: str) -> st.SearchStrategy[Any]:
    """JSON values of any shape, whose objects have some of these keys."""
    inner = st.recursive(
        SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(keys), v, max_size=4), max_leaves=8
    )
    return st.dictionaries(st.sampled_from(keys), inner, max_size=8)


def entry(**keys: Any) -> Row:
    """The row that an entry of a slave becomes, which is told by nothing."""
    given = {"tag": "p", "functionCode": 3, "address": 4} | keys
    slave = {"host": "h", "unitId": 1, "method": "socket", "byteOrder": "BIG", "wordOrder": "BIG", "pollPeriod": 1000}
    result = thingsboard.convert(json.dumps({"master": {"slaves": [slave | {"timeseries": [given]}]}}))
    assert result.remarks == []
    return result.devices[0].rows[0]


@pytest.mark.parametrize(
    ("keys", "cells"),
    [
        ({"type": "16int"}, {"Type": "int16"}),
        ({"type": "32FLOAT", "objectsCount": 2}, {"Type": "float32"}),
        ({"type": "int", "objectsCount": 2}, {"Type": "int32"}),
        ({"type": "double", "registersCount": 4}, {"Type": "float64"}),
        ({"type": "8int"}, {"Type": "int8h"}),
        ({"type": "32int", "wordOrder": "LITTLE"}, {"Type": "int32", "Byte Order": "CDAB"}),
        ({"type": "32int", "byteOrder": "LITTLE"}, {"Type": "int32", "Byte Order": "BADC"}),
        ({"type": "16int", "byteOrder": "little", "wordOrder": "little"}, {"Type": "int16", "Byte Order": "DCBA"}),
        ({"type": "16int", "divider": 100, "multiplier": 5}, {"Type": "int16", "Scale": "0.05"}),
        ({"type": "16int", "divider": 0}, {"Type": "int16"}),
        ({"type": "bits", "bit": 15}, {"Type": "bool", "Bit": "15"}),
        ({"type": "16int", "address": "0x1F"}, {"Type": "int16", "Address": "31"}),
    ],
)
def test_types_of_thingsboard(keys: dict[str, Any], cells: Row):
    """Each type, order and scale of ThingsBoard has its cells."""
    row = entry(**keys)

    assert (
        row == {"Volttron Point Name": "p", "Writable": "FALSE", "Table": "holding", "Address": "4", "Interval": ""} | cells
    )


@pytest.mark.parametrize(
    ("given", "due"), [("1s", 1), ("100ms", 0.1), ("1m30s", 90), ("1.5h", 5400), ("250us", 0.00025), (7, 7)]
)
def test_durations_of_telegraf(given: Any, due: float):
    """Durations are those of Go, and numbers are seconds."""
    result = Result()

    assert (telegraf.seconds(given, "x", result), result.remarks) == (due, [])


@pytest.mark.parametrize("given", ["", "soon", "1", "1.2.3s", "s", "1s2", None, True])
def test_a_duration_that_is_none_is_told(given: Any):
    """What is no duration is not guessed at."""
    result = Result()
    telegraf.seconds(given, "timeout", result)

    assert [remark.where for remark in result.remarks] == ["timeout"]


@pytest.mark.parametrize(
    ("kind", "order", "addresses", "cells"),
    [
        ("INT8L", "AB", [4], {"Type": "int8l"}),
        ("INT8L", "BA", [4], {"Type": "int8h"}),
        ("UINT8H", "BA", [4], {"Type": "uint8l"}),
        ("UINT16", "BA", [4], {"Type": "uint16", "Byte Order": "DCBA"}),
        ("FLOAT16-IEEE", "AB", [4], {"Type": "float16"}),
        ("FLOAT64-IEEE", "HGFEDCBA", [4, 5, 6, 7], {"Type": "float64", "Byte Order": "DCBA"}),
        ("INT64", "BADCFEHG", [4, 5, 6, 7], {"Type": "int64", "Byte Order": "BADC"}),
        ("UFIXED", "CDAB", [4, 5], {"Type": "uint32", "Byte Order": "CDAB"}),
        ("FIXED", "ABCDEFGH", [4, 5, 6, 7], {"Type": "int64"}),
    ],
)
def test_types_of_telegraf(kind: str, order: str, addresses: list[int], cells: Row):
    """Each type and order of the register form has its cells."""
    field = f'{{ name = "p", byte_order = "{order}", data_type = "{kind}", scale = 1.0, address = {addresses} }}'
    result = telegraf.convert(f'[[inputs.modbus]]\ncontroller = "tcp://h:502"\nholding_registers = [{field}]')

    assert result.remarks == []
    assert result.devices[0].rows == [
        {"Volttron Point Name": "p", "Writable": "FALSE", "Table": "holding", "Address": "4"} | cells
    ]


@pytest.mark.parametrize("controller", ["COM1", "", "http://h", "tcp:", "/"])
def test_a_controller_that_no_gateway_reaches_is_told(controller: str):
    """Where no address or serial port can be made of a controller, it is to be filled in."""
    plugin = f'[[inputs.modbus]]\ncontroller = "{controller}"\ncoils = [{{ name = "p", address = [0] }}]'
    result = telegraf.convert(plugin)

    told = [remark.where for remark in result.remarks if remark.lost]
    assert told == ([] if controller == "/" else ["inputs.modbus[0] ().controller"])


@given(
    values(
        *("master", "slaves", "server", "devices", "timeseries", "rpc", "tag", "type", "address", "functionCode"),
        *(
            "host",
            "unitId",
            "method",
            "timeout",
            "byteOrder",
            "security",
            "reportStrategy",
            "pollPeriod",
            "bit",
            "divider",
            "retries",
            "objectsCount",
        ),
    )
)
def test_no_document_breaks_the_import_of_thingsboard(slave: dict[str, Any]):
    """Whatever stands where something else was due is told, or refused as a whole."""
    survives(thingsboard.convert, json.dumps(slave))
    survives(thingsboard.convert, json.dumps({"master": {"slaves": [slave]}}))
    survives(thingsboard.convert, json.dumps({"master": {"slaves": [{"timeseries": [slave], "rpc": slave}]}}))


@given(
    values(
        *("name", "slave_id", "controller", "coils", "holding_registers", "request", "metric", "fields", "address", "tags"),
        *("configuration_type", "workarounds", "rs485", "timeout", "optimization", "register", "type", "scale", "bit"),
    ),
    st.sampled_from(["register", "request", "metric"]),
)
def test_no_document_breaks_the_import_of_telegraf(plugin: dict[str, Any], style: str):
    """The same for Telegraf, whose files are TOML."""
    survives(telegraf.convert, toml({"inputs": {"modbus": [plugin]}}))
    field = {"name": "p", "register": "holding", "data_type": "INT16"} | plugin
    plugins = {"configuration_type": style, "holding_registers": [field], style: [plugin | {"fields": [field]}]}
    survives(telegraf.convert, toml({"inputs": {"modbus": [plugins]}, "agent": plugin}))


def toml(value: Any) -> str:
    """A document as TOML, which has no null."""
    return "\n".join(f"{key} = {inline(v)}" for key, v in value.items())


def inline(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, float):
        return str(value) if "." in str(value) or value in (float("inf"), -float("inf")) else f"{value:.1f}"
    return json.dumps(value) if value is not None else '""'


def survives(convert: Any, text: str) -> None:
    """The import gives a result that can be written, or says why there is none."""
    try:
        documents(convert(text), "a/b")
    except ImportFault:
        pass
