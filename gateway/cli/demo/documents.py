"""The demo's devices: their configurations and registries, as a user would publish them."""

from __future__ import annotations

from typing import Any

from gateway.payloads import dump
from gateway.topics import Topics

AIR_HANDLER = "demo/office/ahu1"
METER = "demo/office/meter1"
FAKE = "demo/office/fake1"
USER = "alice"
DEVICES = (AIR_HANDLER, METER, FAKE)

_AIR_HANDLER_CSV = """\
Volttron Point Name,Units,Modbus Register,Writable,Point Address,Scale,Min,Max,Default Value,Enum
SupplyTemperature,degC,>f,FALSE,0,,,,,
ReturnTemperature,degC,>h,FALSE,2,0.1,,,,
Setpoint,degC,>f,TRUE,0,,5,35,21,
Mode,,>H,TRUE,2,,,,Auto,0=Off;1=Heating;2=Cooling;3=Auto
Fan,,BOOL,TRUE,0,,,,TRUE,
FrostAlarm,,BOOL,FALSE,0,,,,,
"""
_METER_CSV = """\
Volttron Point Name,Units,Modbus Register,Writable,Point Address,Scale
Power,kW,>f,FALSE,0,
Energy,kWh,>I,FALSE,2,0.001
Voltage,V,>H,FALSE,4,0.1
Frequency,Hz,>H,FALSE,5,0.01
PowerLimit,kW,>H,TRUE,0,
OverLimit,,BOOL,FALSE,0,
"""
_FAKE_CSV = """\
Point Name,Volttron Point Name,Units,Units Details,Writable,Starting Value,Type,Notes
EKG,EKG,mV,waveform,FALSE,sin,float,Sine over the minute
Occupied,Occupied,,,TRUE,TRUE,boolean,
Counter,Counter,,,TRUE,0,int,
Comment,Comment,,,TRUE,hello,string,
"""


def documents(topics: Topics, host: str, air_handler_port: int, meter_port: int) -> dict[str, bytes]:
    """Topic and payload of everything to publish, retained, so that the gateway runs the demo's devices."""
    registries = {AIR_HANDLER: _AIR_HANDLER_CSV, METER: _METER_CSV, FAKE: _FAKE_CSV}
    modbus = {AIR_HANDLER: air_handler_port, METER: meter_port}
    found: dict[str, bytes] = {}
    for device in DEVICES:
        registry = f"registries/{device.rpartition('/')[2]}.csv"
        config: dict[str, Any] = {"driver_type": "fake", "driver_config": {}}
        if device in modbus:
            config = {"driver_type": "modbus", "driver_config": {"device_address": host, "port": modbus[device]}}
        config |= {"registry_config": f"config://{registry}", "interval": 1}
        found[topics.document(registry)] = registries[device].encode()
        found[topics.device_config(device)] = dump(config)
    return found


def hints(topics: Topics, port: int, clients_missing: bool) -> str:
    """Three commands to try from another shell."""
    broker = f"-V 5 -p {port}"
    answer = f"-e {topics.default_reply(USER, '$$', ())}"
    lines = [
        "Try from another shell:",
        f"  mosquitto_sub {broker} -v -t '{topics.device_filters(['#'])[0]}'",
        f"  mosquitto_rr {broker} -W 12 -t {_request(topics, 'get_point', 'SupplyTemperature')} {answer} -n",
        f"  mosquitto_rr {broker} -W 12 -t {_request(topics, 'set_point', 'Setpoint')} {answer} -m 24.5",
    ]
    if clients_missing:
        lines.append("They come with: apt install mosquitto-clients")
    return "\n".join(lines)


def _request(topics: Topics, method: str, point: str) -> str:
    every = topics.request_filters(["#"])[0]
    return every.replace("+", USER, 1).replace("+", method, 1).replace("#", f"{AIR_HANDLER}/{point}")
