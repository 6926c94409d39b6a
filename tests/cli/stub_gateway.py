"""Stands in for the gateway where the demo is tested by itself: it copies what the demo's devices say to their topics.

``python -m tests.cli.stub_gateway SETTINGS`` or, with ``--fail`` behind it, one that ends at once.
"""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path

from gateway.cli.demo.documents import AIR_HANDLER, DEVICES
from gateway.cli.mqttclient import MqttClient
from gateway.payloads import dump, parse
from gateway.settings import load
from gateway.topics import Topics
from tests.cli.modbus import exchange


def main(settings: str) -> None:
    """Publish readings until killed."""
    topics = Topics("demo")
    with MqttClient(load(Path(settings), environ={}).broker.url) as client:
        for device in DEVICES:
            client.subscribe(topics.device_config(device))
        configs = {}
        while len(configs) < len(DEVICES):
            message = client.message(5)
            assert message is not None
            configs[message.topic] = parse(message.payload.decode())
        port = configs[topics.device_config(AIR_HANDLER)]["driver_config"]["port"]
        client.publish(topics.meta(AIR_HANDLER), dump({"points": {"SupplyTemperature": {"units": "degC"}}}), retain=True)
        while True:
            words = exchange(port, b"\x04\x00\x00\x00\x02")[2:]
            reading = {"values": {"SupplyTemperature": struct.unpack(">f", words)[0]}, "errors": {}}
            client.publish(topics.all(AIR_HANDLER), dump(reading))
            time.sleep(0.2)


if __name__ == "__main__":
    if "--fail" in sys.argv:
        sys.exit("stub: no licence to run")
    main(sys.argv[1])
