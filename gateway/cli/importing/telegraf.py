"""``[[inputs.modbus]]`` of a Telegraf configuration to devices; pure.

Source: influxdata/telegraf, ``plugins/inputs/modbus``: the README and the samples of its three configuration types.
A plugin is a device; one that asks several slaves is a device for each.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.cli.importing.model import Device, ImportFault, Result
from gateway.cli.importing.telegraf_fields import BLOCKS, TABLES, Fields, table

PARITIES = {"N": "none", "E": "even", "O": "odd"}
FRAMINGS = {"": "", "auto": "", "tcp": "", "rtu": "rtu", "ascii": "ascii", "rtuovertcp": "rtu", "asciiovertcp": "ascii"}
LINE = {"baud_rate": ("baudrate", 9600), "data_bits": ("bytesize", 8), "stop_bits": ("stopbits", 1)}

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"([\d.]+)(ns|us|µs|ms|s|m|h|d)")

MEANINGS = {
    "debug_connection": "has no counterpart",
    "busy_retries": "a device that says it is busy is asked again at the next poll",
    "busy_retries_wait": "a device that says it is busy is asked again at the next poll",
    "exclude_register_type_tag": "has no counterpart: readings have no tags",
    "name_override": "has no counterpart: a reading is named by its topic",
    "name_prefix": "has no counterpart: a reading is named by its topic",
    "name_suffix": "has no counterpart: a reading is named by its topic",
    "alias": "has no counterpart",
    "precision": "times are exact to a microsecond",
    "collection_jitter": "polls are spread by themselves",
    "collection_offset": "polls are spread by themselves",
    "log_level": "has no counterpart",
}
KNOWN = {
    *("name", "slave_id", "timeout", "controller", "transmission_mode", "parity", "configuration_type", "interval", "tags"),
    *("optimization", "optimization_max_register_fill", "request", "metric", "workarounds", "rs485"),
    *TABLES,
    *LINE,
    *MEANINGS,
}
PAUSES = {"pause_after_connect": "connect_delay", "pause_between_requests": "gap"}
MOST = {"max_word_registers_per_request": "max_registers", "max_bit_registers_per_request": "max_bits"}
EASED = {
    "close_connection_after_gather": "a connection stays open, which a device of few connections may not like",
    "read_coils_starting_at_zero": "has no counterpart: coils are read from the first that a point names",
}


def convert(text: str) -> Result:
    """The devices of a Telegraf configuration. Raises ImportFault if it is none, or has no Modbus input."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ImportFault(f"is not TOML: {error}") from None
    inputs = document.get("inputs", {})
    plugins = inputs.get("modbus") if isinstance(inputs, dict) else None
    if not isinstance(plugins, list) or not plugins:
        raise ImportFault("there is no [[inputs.modbus]] in it")
    result = Result()
    agent = document.get("agent")
    interval = agent.get("interval", "10s") if isinstance(agent, dict) else "10s"
    for where, plugin in result.objects("inputs.modbus", plugins):
        result.devices += _devices(f"{where} ({plugin.get('name', '')})", plugin, interval, result)
    return result


def _devices(where: str, plugin: Mapping[str, Any], interval: str, result: Result) -> list[Device]:
    style = str(plugin.get("configuration_type", "register"))
    if style not in BLOCKS:
        result.lost(where, f'configuration_type "{style}" is none of {", ".join(BLOCKS)}')
        return []
    result.unknown(where, plugin, KNOWN)
    result.without_use(where, plugin, MEANINGS)
    _other_styles(where, style, plugin, result)
    shared = _driver_config(where, plugin, result)
    keys = {"interval": seconds(plugin.get("interval", interval), f"{where}.interval", result)}
    slaves = Fields(where, style, plugin, result).by_slave()
    if not slaves:
        result.lost(where, f"there are no points in the form of configuration_type {style}")
    name = str(plugin.get("name") or urlsplit(str(plugin.get("controller", ""))).hostname or "modbus")
    return [
        Device(name if len(slaves) == 1 else f"{name}_{slave}", shared | {"slave_id": slave}, dict(keys), rows)
        for slave, rows in slaves.items()
    ]


def _other_styles(where: str, style: str, plugin: Mapping[str, Any], result: Result) -> None:
    """Telegraf looks at the points of one form alone."""
    for other, blocks in BLOCKS.items():
        for block in blocks:
            if other != style and plugin.get(block):
                result.note(f"{where}.{block}", f"is not used with configuration_type {style}, by Telegraf either")


def _driver_config(where: str, plugin: Mapping[str, Any], result: Result) -> dict[str, Any]:
    config = _controller(where, plugin, result)
    config["timeout"] = min(seconds(plugin.get("timeout", "1s"), f"{where}.timeout", result), 60)
    if (gap := _gap(where, plugin, result)) is not None:
        config["max_gap"] = gap
    given = table(plugin, "workarounds")
    result.without_use(f"{where}.workarounds", {key: value for key, value in given.items() if value}, EASED)
    known = (*PAUSES, *MOST, *EASED, "one_request_per_field", "string_register_location")
    result.unknown(f"{where}.workarounds", given, known)
    for key, ours in PAUSES.items():
        if key in given:
            config[ours] = seconds(given[key], f"{where}.workarounds.{key}", result)
    return config | {ours: given[key] for key, ours in MOST.items() if key in given}


def _gap(where: str, plugin: Mapping[str, Any], result: Result) -> int | None:
    """The widest hole that Telegraf would read over: of the plugin or any of its requests."""
    gaps = []
    requests = plugin.get("request")
    for block in (plugin, *(filter(_is_table, requests) if isinstance(requests, list) else ())):
        kind = block.get("optimization", "none")
        if kind == "max_insert":
            gaps.append(result.number(where, block, "optimization_max_register_fill", 50, 125))
        elif kind == "aggressive":
            result.note(where, "optimization aggressive reads over any hole: set max_gap to the widest that is allowed")
    return max(gaps, default=None)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _controller(where: str, plugin: Mapping[str, Any], result: Result) -> dict[str, Any]:
    url = urlsplit(str(plugin.get("controller", "")))
    mode = str(plugin.get("transmission_mode", "")).lower()
    if mode not in FRAMINGS:
        result.lost(f"{where}.transmission_mode", f'"{mode}" is not known: taken for the usual one')
    framing = FRAMINGS.get(mode, "")
    if url.scheme in ("file", "") and url.path.startswith("/"):
        return _line(where, url.path, framing, plugin, result)
    if url.scheme not in ("tcp", "udp") or not url.hostname:
        result.lost(f"{where}.controller", f'"{plugin.get("controller", "")}" is no device: fill in device_address')
    if plugin.get("rs485"):
        result.note(f"{where}.rs485", "has no effect on a network connection")
    config: dict[str, Any] = {"device_address": url.hostname or "", "port": _port(url.netloc)}
    return config | ({"transport": "udp"} if url.scheme == "udp" else {}) | ({"framing": framing} if framing else {})


def _port(netloc: str) -> int:
    port = netloc.rpartition(":")[2]
    return int(port) if port.isdecimal() else 502


def _line(where: str, path: str, framing: str, plugin: Mapping[str, Any], result: Result) -> dict[str, Any]:
    config: dict[str, Any] = {"device_address": path, "transport": "serial"}
    if framing == "ascii":
        config["framing"] = framing
    config |= {ours: plugin.get(key, default) for key, (ours, default) in LINE.items()}
    parity = str(plugin.get("parity", "N")).upper()
    config["parity"] = PARITIES.get(parity, parity.lower())
    if plugin.get("rs485"):
        config["rs485"] = _rs485(f"{where}.rs485", table(plugin, "rs485"), result)
    return config


RS485 = {
    "delay_rts_before_send": "delay_before_tx",
    "delay_rts_after_send": "delay_before_rx",
    "rts_high_during_send": "rts_level_for_tx",
    "rts_high_after_send": "rts_level_for_rx",
    "rx_during_tx": "loopback",
}


def _rs485(where: str, given: Mapping[str, Any], result: Result) -> dict[str, Any]:
    result.unknown(where, given, RS485)
    delays = [key for key in RS485 if key.startswith("delay") and key in given]
    return {
        ours: seconds(given[key], f"{where}.{key}", result) if key in delays else given[key]
        for key, ours in RS485.items()
        if key in given
    }


def seconds(value: Any, where: str, result: Result) -> float:
    """A duration of Telegraf, ``1m30s`` or a number of seconds; 1 if it can not be read, which is told."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf:
        return value
    parts = _PART.findall(value) if isinstance(value, str) else []
    try:
        if parts and "".join(map("".join, parts)) == value:
            return _plain(sum(float(count) * UNITS[unit] for count, unit in parts))
    except ValueError:
        pass  # two points in one number: told below
    result.lost(where, f'"{value}" is no duration: 1 s stands in its place')
    return 1


def _plain(number: float) -> float:
    rounded = round(number, 9)
    return int(rounded) if rounded.is_integer() else rounded
