"""The examples of keys on the driver's page: each is taken by the model, beside what it needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.interfaces._modbus.config import ModbusConfig
from tests.markdown import ROOT

PAGE = ROOT / "docs" / "drivers" / "modbus.md"
CODE = re.compile(r"`([^`]+)`")
SERIAL = {"device_address": "/dev/ttyUSB0", "slave_id": 1}
TLS = {"device_address": "plc-1", "transport": "tls"}
PAIRS = {
    "cert": {"key": "a key"},
    "key": {"cert": "a certificate"},
    "framing": {"slave_id": 1},
    "bytesize": {"framing": "ascii"},
    "xonxoff": {"framing": "ascii"},
}
"""What a key can not do without."""
OF_TLS = {"ca", "cert", "key", "server_name"}
OF_SERIAL = {"echo", "baudrate", "bytesize", "parity", "stopbits", "xonxoff", "rs485"}


def examples() -> Iterator[tuple[str, Any]]:
    """Each key of the tables of keys, with the example beside it."""
    text = PAGE.read_text()
    for line in text[: text.index("## Registry columns")].splitlines():
        cells = line.split(" | ")
        if line.startswith("| `") and CODE.fullmatch(cells[1].strip()):
            value = json.loads(cells[1].strip().strip("`"))
            for key in CODE.findall(cells[0]):
                yield key, value


def test_the_page_has_examples_of_all_keys() -> None:
    """The tables are found, and no key of the model is missing, but for those that are described with the registers."""
    described = (ROOT / "docs" / "drivers" / "modbus-registers.md").read_text()
    told = {key for key, _ in examples()}
    assert {name for name in ModbusConfig.model_fields if name not in told and f"`{name}`" not in described} == set()


@pytest.mark.parametrize(("key", "value"), list(examples()))
def test_an_example_is_taken(key: str, value: Any) -> None:
    """The driver's model takes the key with the value of its example; a secret is the text that it stands for."""
    base = TLS if key in OF_TLS else SERIAL if key in OF_SERIAL else {"device_address": "192.168.1.20"}
    taken = "text of a file" if isinstance(value, dict) and "secret" in value else value
    config = ModbusConfig.model_validate({**base, **PAIRS.get(key, {}), key: taken})
    assert key in config.model_fields_set
