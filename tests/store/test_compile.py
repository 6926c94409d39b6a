"""A device config and its documents to a verdict."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import interfaces
from gateway.store.documents import sha256
from tests.integration.waiting import PATIENCE
from tests.store.judging import ROWS, as_bytes, errors, fake, judge


def test_a_good_config_is_a_spec():
    """All that is needed to run the device is in the spec."""
    verdict = judge(fake(gateway="edge-1", interval=5))

    assert errors(verdict) == []
    spec = verdict.spec
    assert spec is not None
    assert (spec.path, spec.driver_type, spec.interface) == ("C/B/D", "fake", interfaces.load("fake"))
    assert isinstance(spec.config, spec.interface.Config)
    assert [register.name for register in spec.registers] == ["a", "b"]
    assert (spec.device.interval, verdict.gateway, spec.hash) == (5, "edge-1", verdict.hash)


def test_an_alias_of_a_driver_is_told_by_its_own_name():
    """VOLTTRON's fakedriver is fake from here on."""
    spec = judge(fake(driver_type="fakedriver")).spec

    assert spec is not None
    assert spec.driver_type == "fake"


def test_hashes_are_of_the_bytes():
    """The verdict has the hash of the document and of every linked one at hand."""
    config = as_bytes(fake(registry_config="config://rows"))
    verdict = judge(config, rows=b" [] ", other=b"[]")

    assert verdict.hash == sha256(config)
    assert verdict.links == {"rows": sha256(b" [] ")}


def test_the_fingerprint_covers_document_and_links():
    """It stays the same for the same bytes, and changes with the document, a link's bytes and nothing else."""

    def fingerprint(config: object, rows: object, **others: object) -> str:
        spec = judge(config, rows=rows, **others).spec
        assert spec is not None
        return spec.fingerprint

    config = fake(registry_config="config://rows")
    first = fingerprint(config, ROWS)

    assert fingerprint(config, ROWS, other="x") == first
    assert len({first, fingerprint(config, ROWS[:1]), fingerprint(config | {"interval": 5}, ROWS)}) == 3


@pytest.mark.parametrize("path", ["a/b", "a//b", "a/b/c/d/e/f/g/h/i", "a/b/#", "$a/b/c"])
def test_a_bad_path_is_a_fault_among_the_others(path: str):
    """The path of the topic is judged with the document."""
    assert [error.split(":")[0] for error in errors(judge(fake(interval=0), path))] == ["path", "interval"]


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (b"", "empty"),
        (b"[]", "JSON object"),
        (b"a,b\n1,2\n", "JSON object"),
        (b'{"driver_type": "fake"', "not JSON"),
        (b"\xff", "UTF-8"),
        (b'{"driver_type": NaN}', "NaN"),
        (b'{"a": 1, "a": 2}', "twice"),
    ],
)
def test_what_is_no_config_is_one_fault(payload: bytes, word: str):
    """A document that can not be read as a device config has one fault, and names no owner."""
    verdict = judge(payload)

    assert word in errors(verdict)[0]
    assert (verdict.error_count, verdict.gateway) == (1, None)


def test_the_owner_is_known_though_the_rest_is_bad():
    """The gateway key counts as soon as the document parses, so that others leave the device alone."""
    assert judge({"gateway": "edge-2", "interval": "soon"}).gateway == "edge-2"
    assert judge({"gateway": 5}).gateway is None


def test_the_heartbeat_needs_a_writable_point():
    """heart_beat_point names a writable point that takes 1 and 0; any other name is a fault."""
    assert judge(fake(heart_beat_point="b")).warnings == ()
    for name in ("a", "c"):
        assert errors(judge(fake(heart_beat_point=name))) == [f'heart_beat_point: there is no writable point "{name}"']


def test_point_topics_are_known_to_the_registry():
    """publish_depth_first makes the names of our topics unfit for points."""
    rows = [{"Point Name": "p", "Volttron Point Name": "status"}]

    assert errors(judge(fake(registry_config=rows))) == []
    assert len(errors(judge(fake(registry_config=rows, publish_depth_first=True)))) == 1


def test_the_drivers_own_check_is_told(driver: None):
    """What a driver says against its config has its key and suggestion; the rows are judged all the same."""
    rows = [{"Volttron Point Name": "a", "Scale": "x"}]
    verdict = judge({"driver_type": "d", "driver_config": {"address": "bad"}, "registry_config": rows})

    assert errors(verdict) == [
        "driver_config.address: bad can not be asked (suggestion: good)",
        'registry row 1, key "Scale": "x" is not a number',
    ]


HEADER = b"Volttron Point Name,Modbus Register,Point Address\n"


@pytest.mark.parametrize(
    ("payload", "registry"),
    [
        (b"[" * 100_000, b""),
        (b'{"driver_type": NaN}', b""),
        (b"x" * 300 * 1024, b""),
        (b"a" * 200_000 + b"\xff", b""),
        (b'{"a": 1, "a": 2}', b""),
        (json.dumps({f"interva{i}": 1 for i in range(12_000)}).encode(), b""),
        (json.dumps({f"{i}" + "interval" * 300: 1 for i in range(100)}).encode(), b""),
        (b"", HEADER + b"".join(b"p%d,>X,%d\n" % (i, i) for i in range(10_000))),
        (b"", HEADER + b"".join(b"p%d,>H,x\n" % i for i in range(10_000))),
        (b"", HEADER + b"p,>H,1\n" * 10_000),
        (b"", HEADER + b"p,>H,1,2,3\n" * 10_000),
        (b"", b"Volttron Point Name\n" + b"p\n" * 19_000),
        (b"", json.dumps(["config://r"] * 15_000).encode()),
        (b"", json.dumps([f"config://{i}" for i in range(15_000)]).encode()),
    ],
    ids=lambda value: value[:20].decode(errors="replace"),
)
def test_hostile_documents_are_refused_cheaply(payload: bytes, registry: bytes):
    """Each is judged in less than 50 ms of processor time, five times that in CI, with at most 100 faults listed."""
    modbus = {"driver_type": "modbus", "driver_config": {"device_address": "10.0.0.1"}, "registry_config": "config://r"}

    def run() -> float:
        start = time.process_time()
        verdict = judge(payload or modbus, r=registry)
        assert errors(verdict)
        assert len(verdict.errors) <= 100 <= max(verdict.error_count, 100)
        return time.process_time() - start

    traced = sys.gettrace() is not None  # a coverage run is several times slower
    assert min(run() for _ in range(3)) < (0.5 if traced else 0.05 * PATIENCE)


def test_a_misspelt_key_inside_an_option_has_a_suggestion():
    """Not only keys of the config itself are compared with what is known."""
    assert errors(judge(fake(on_change={"max_silenc": 5}))) == [
        "on_change.max_silenc: is not known (suggestion: max_silence)"
    ]
    assert errors(judge(fake(on_change={"x": 5}))) == ["on_change.x: is not known"]


def test_a_link_with_its_prefix_in_capitals_is_shown_in_small_letters():
    """The suggestion for a registry that is no link is one."""
    for registry in ("r.csv", "CONFIG://r.csv"):
        [fault] = judge(fake(registry_config=registry)).errors
        assert fault.suggestion == "config://r.csv"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "driver_config",
    "registry_config",
    "interval",
    "payload",
    "on_change",
    "gateway",
    "expiry",
    "heart_beat_point",
    "retain",
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), JSON), st.sampled_from(["fake", "modbus", "x"]), JSON)
def test_any_config_is_a_spec_or_has_faults(config: dict[str, Any], driver_type: str, document: Any):
    """Whatever stands under the keys, the verdict is a spec without errors or errors without a spec."""
    verdict = judge(config | {"driver_type": driver_type}, a=[document], b={"x": document})

    assert (verdict.spec is None) == bool(verdict.errors)
    assert all(fault.where and fault.message for fault in verdict.errors)


@settings(max_examples=100)
@given(
    st.lists(st.dictionaries(st.sampled_from(["Volttron Point Name", "Point Name", "Type", "Enum", "Min", "Scale"]), JSON))
)
def test_any_rows_are_registers_or_have_faults(rows: list[dict[str, Any]]):
    """Whatever stands in the cells of a row, nothing but a fault comes of it."""
    assert judge({"driver_type": "fake", "registry_config": rows}).hash
