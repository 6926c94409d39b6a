"""All configurations are judged together, as they will be on the broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.cli.configs.judging import Judge, Judgement
from gateway.topics import Topics
from tests.integration.documents import csv, fake, modbus, point

TOPICS = Topics("", "site")
REGISTRY = csv(point("t"))


def judged(new: dict[str, Any], old: dict[str, Any] | None = None, secrets: Path | None = None) -> Judgement:
    """The judgement on documents, given as bytes or values."""
    kept, wanted = (
        {path: v if isinstance(v, bytes) else json.dumps(v).encode() for path, v in d.items()} for d in (old or {}, new)
    )
    return Judge(TOPICS, wanted, kept, secrets).judge()


def test_good_ones_have_no_fault() -> None:
    """A device with its registry, whichever comes first, and a document that nobody links to."""
    found = judged({"devices/C/B/D": fake("config://r.csv"), "r.csv": REGISTRY, "a": {"b": 1}})
    assert (found.faults, found.devices) == ([], 1)


def test_each_fault_has_its_topic() -> None:
    """Faults of all documents are told, not those of the first alone."""
    found = judged({"devices/C/B/D": fake(intervall=1), "devices/C/B": fake(), "x": b"{", "y": b"", "a/+": b"{}"})
    assert [fault.partition(": ")[0] for fault in found.faults] == [
        "'site/config/a/+'",
        "site/config/devices/C/B",
        "site/config/devices/C/B/D",
        "site/config/x",
        "site/config/y",
    ]


def test_a_registry_that_stays_on_the_broker_counts() -> None:
    """A link may lead to what is there already, unless that is to be removed."""
    device = {"devices/C/B/D": fake("config://r.csv")}
    assert judged(device, {"r.csv": REGISTRY}).faults == []
    assert 'there is no document "r.csv"' in judged(device).faults[0]


def test_a_device_on_the_broker_is_not_broken_unseen() -> None:
    """A new registry that is no good for a device that stays as it is, is a fault; other faults there are not ours."""
    old = {"devices/C/B/D": fake("config://r.csv"), "devices/C/B/bad": {"driver_type": "none"}, "r.csv": REGISTRY}
    [fault] = judged({"r.csv": csv(point("t", kind="flaot"))}, old).faults
    assert fault.startswith("(on the broker) site/config/devices/C/B/D: registry row 2")
    assert judged({"r.csv": csv(point("u"))}, old).faults == []


def test_where_devices_may_be_is_for_the_gateway_to_say() -> None:
    """An address outside of private networks is no fault here, as the settings of the gateway may allow it."""
    config = modbus(502)
    config["driver_config"]["device_address"] = "203.0.113.7"
    assert judged({"devices/C/B/D": config}).faults == []


def test_secrets_are_elsewhere(tmp_path: Path) -> None:
    """What a config names as a secret lies with its gateway: a warning here, a fault where a directory lacks it."""
    config = {"devices/C/B/D": modbus(502) | {"driver_config": {"device_address": {"secret": "device.x"}}}}
    found = judged(config)
    assert (found.faults, found.warnings) == ([], 1)
    assert "there is no secret" in judged(config, secrets=tmp_path).faults[0]
    (tmp_path / "device.x").write_text("127.0.0.1")
    assert judged(config, secrets=tmp_path).faults == []
