"""ThingsBoard's ``modbus.json`` to devices; pure.

Source: thingsboard/thingsboard-gateway, the Modbus connector's documentation and its ``connectors/modbus``: ``slave.py`` for
the defaults, ``bytes_modbus_uplink_converter.py`` for what a type and an order mean, ``backward_compatibility_adapter.py``
for the older form with ``server.devices``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.importing.model import Device, ImportFault, Result
from gateway.cli.importing.thingsboard_points import SECTIONS, Points

MAX_TIMEOUT = 60
MAX_RETRIES = 10

SHARED = (
    "host",
    "port",
    "type",
    "method",
    "timeout",
    "byteOrder",
    "wordOrder",
    "retries",
    "baudrate",
    "parity",
    "stopbits",
    "bytesize",
)
"""What the older form says once for all devices of its ``server``."""

LINE = {"baudrate": 19200, "bytesize": 8, "parity": "N", "stopbits": 1}
"""The settings of a serial line, with ThingsBoard's defaults."""

PARITIES = {"n": "none", "e": "even", "o": "odd", "m": "mark", "s": "space"}
TRANSPORTS = ("tcp", "udp", "tls", "serial")
FRAMINGS = {"socket": "", "rtu": "rtu", "ascii": "ascii"}

MEANINGS = {
    "deviceType": "has no counterpart",
    "sendDataToThingsBoard": "has no counterpart",
    "connectAttemptTimeMs": "a device that is away is tried again by itself, ever more rarely",
    "connectAttemptCount": "a device that is away is tried again by itself, ever more rarely",
    "waitAfterFailedAttemptsMs": "a device that is away is tried again by itself, ever more rarely",
    "retryOnEmpty": "retries, which reads alone have, cover it",
    "retryOnInvalid": "retries, which reads alone have, cover it",
    "strict": "a serial line keeps the gap between frames that is due",
    "repack": "values are written in their byte order",
}
KNOWN = {
    *("unitId", "deviceName", "host", "port", "type", "method", "timeout", "byteOrder", "wordOrder", "retries"),
    *("pollPeriod", "timeseriesPollPeriod", "attributesPollPeriod", "reportStrategy", "sendDataOnlyOnChange"),
    *("tls", "security", "handleLocalEcho"),
    *SECTIONS,
    *LINE,
    *MEANINGS,
}
ABOUT_FILE = ("logLevel", "name", "id", "configVersion", "enableRemoteLogging")
"""Keys around the slaves that say nothing of a device."""


def convert(text: str) -> Result:
    """The devices of a ``modbus.json``. Raises ImportFault if it is none."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ImportFault(f"is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ImportFault("is not a modbus.json: an object with master.slaves is due")
    result = Result()
    for where, slave in (*_slaves(document, result), *_older(document, result)):
        result.devices.append(_device(where, slave, result))
    if not result.devices:
        raise ImportFault("is not a modbus.json of ThingsBoard's gateway: there are no slaves in master.slaves")
    _rest(document, result)
    return result


def _slaves(document: Mapping[str, Any], result: Result) -> Iterator[tuple[str, Mapping[str, Any]]]:
    master = document.get("master")
    if isinstance(master, dict):
        yield from result.objects("master.slaves", master.get("slaves"))


def _older(document: Mapping[str, Any], result: Result) -> Iterator[tuple[str, Mapping[str, Any]]]:
    server = document.get("server")
    if isinstance(server, dict):
        result.unknown("server", server, {*SHARED, "devices", "name", "rtu", *MEANINGS})
        common = {key: server[key] for key in SHARED if key in server}
        for where, device in result.objects("server.devices", server.get("devices")):
            yield where, common | dict(device)


def _rest(document: Mapping[str, Any], result: Result) -> None:
    result.unknown("", document, ("master", "server", "slave", *ABOUT_FILE))
    if document.get("slave"):
        result.note("slave", "the part in which ThingsBoard's gateway is a Modbus server itself has no counterpart")
    master = document.get("master")
    if isinstance(master, dict):
        result.unknown("master", master, ("slaves",))


def _device(where: str, slave: Mapping[str, Any], result: Result) -> Device:
    name = str(slave.get("deviceName") or f"unit_{slave.get('unitId', 0)}")
    where = f"{where} ({name})"
    result.unknown(where, slave, KNOWN)
    result.without_use(where, slave, MEANINGS)
    device = Device(name, _driver_config(where, slave, result), _keys(where, slave, result))
    points = Points(where, slave, result)
    device.rows = points.rows(_attribute_interval(slave, device))
    return device


def _keys(where: str, slave: Mapping[str, Any], result: Result) -> dict[str, Any]:
    """The keys beside ``driver_config``: the interval, and whether only changes are published."""
    period = slave.get("timeseriesPollPeriod", slave.get("pollPeriod"))
    if period is None:
        result.note(where, "there is no pollPeriod: the interval is 5 s")
    keys: dict[str, Any] = {"interval": _seconds(5000 if period is None else period, f"{where}.pollPeriod", result)}
    strategy = slave.get("reportStrategy")
    if isinstance(strategy, dict):
        keys |= _strategy(f"{where}.reportStrategy", strategy, result)
    elif slave.get("sendDataOnlyOnChange"):
        keys["on_change"] = True
    return keys


def _strategy(where: str, strategy: Mapping[str, Any], result: Result) -> dict[str, Any]:
    kind = str(strategy.get("type", "")).upper()
    if kind == "ON_CHANGE":
        result.note(where, "what does not change is published once in 600 s all the same: see max_silence")
        return {"on_change": True}
    if kind == "ON_CHANGE_OR_REPORT_PERIOD":
        period = _seconds(strategy.get("reportPeriod", 60000), f"{where}.reportPeriod", result)
        return {"on_change": {"max_silence": period}}
    if kind != "ON_RECEIVED":
        result.note(where, f"{kind or 'it'} has no counterpart: each poll is published")
    return {}


def _attribute_interval(slave: Mapping[str, Any], device: Device) -> str:
    """The Interval of attributes if the older form gives them a period of their own."""
    period = slave.get("attributesPollPeriod")
    if isinstance(period, bool) or not isinstance(period, (int, float)) or period / 1000 == device.keys["interval"]:
        return ""
    return f"{period / 1000:g}"


def _seconds(value: Any, where: str, result: Result) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        return value // 1000 if value % 1000 == 0 else value / 1000
    result.lost(where, f"{value!r} is no time in milliseconds: 60 s stand in its place")
    return 60


def _driver_config(where: str, slave: Mapping[str, Any], result: Result) -> dict[str, Any]:
    transport = str(slave.get("type", "tcp")).lower()
    if transport not in TRANSPORTS:
        result.lost(f"{where}.type", f'"{transport}" is none of {", ".join(TRANSPORTS)}: taken for tcp')
        transport = "tcp"
    config = _line(where, slave, result) if transport == "serial" else _network(where, transport, slave, result)
    config["slave_id"] = result.number(where, slave, "unitId", 0, 255)
    if "unitId" not in slave:
        result.lost(where, "there is no unitId: slave_id 0 stands in its place")
    config["timeout"] = result.number(where, slave, "timeout", 35, MAX_TIMEOUT)
    config["retries"] = result.number(where, _counted_retries(slave), "retries", 3, MAX_RETRIES)
    return config


def _counted_retries(slave: Mapping[str, Any]) -> Mapping[str, Any]:
    """The slave with its retries as a number: true counts as one."""
    retries = slave.get("retries")
    return {**slave, "retries": int(retries)} if isinstance(retries, bool) else slave


def _network(where: str, transport: str, slave: Mapping[str, Any], result: Result) -> dict[str, Any]:
    config: dict[str, Any] = {"device_address": slave.get("host", ""), "port": slave.get("port", 502)}
    if transport != "tcp":
        config["transport"] = transport
    if framing := _framing(where, slave, result):
        config["framing"] = framing
    if not config["device_address"]:
        result.lost(where, "there is no host: fill in device_address")
    security = slave.get("tls", slave.get("security"))
    if transport == "tls" and security:
        config |= _security(where, security, result)
    return config


def _framing(where: str, slave: Mapping[str, Any], result: Result) -> str:
    method = str(slave.get("method", "socket")).lower()
    if "method" not in slave:
        result.note(where, "there is no method: socket, the framing of Modbus TCP")
    if method not in FRAMINGS:
        result.lost(f"{where}.method", f'"{method}" is none of {", ".join(FRAMINGS)}: taken for socket')
    return FRAMINGS.get(method, "")


def _security(where: str, security: Any, result: Result) -> dict[str, Any]:
    result.lost(
        f"{where}.security",
        "certificates do not belong in a configuration: put their texts among the gateway's credentials, and name them in"
        ' driver_config, as in "ca": {"secret": "device.ca"}, the same with cert and key',
    )
    name = security.get("server_hostname") if isinstance(security, dict) else None
    return {"server_name": name} if name else {}


def _line(where: str, slave: Mapping[str, Any], result: Result) -> dict[str, Any]:
    config: dict[str, Any] = {"device_address": str(slave.get("port", "")), "transport": "serial"}
    method = str(slave.get("method", "rtu")).lower()
    if method == "ascii":
        config["framing"] = "ascii"
    elif method != "rtu":
        result.lost(f"{where}.method", f'"{method}" is no framing of a serial line: taken for rtu')
    if slave.get("handleLocalEcho"):
        config["echo"] = True
    config |= {key: slave.get(key, default) for key, default in LINE.items()}
    parity = str(config["parity"]).lower()
    config["parity"] = PARITIES.get(parity[:1], parity)
    return config
