from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from gateway.catalog import COALESCE, FAILED, Catalog, Entry
from gateway.interfaces.base import Environment
from gateway.interfaces.fake import Interface as Fake

CSV = b"Point Name,Volttron Point Name,Units,Type,Writable\na,a,kW,float,TRUE\n"


def config(link: str = "meter.csv", **keys: object) -> bytes:
    """A fake device with this registry."""
    return json.dumps({"driver_type": "fake", "driver_config": {}, "registry_config": f"config://{link}"} | keys).encode()


@pytest.fixture
def catalog(env: Environment) -> Catalog:
    """An empty one."""
    return Catalog(env, None)


def judged(catalog: Catalog, path: str = "C/B/D", now: float = 0.0) -> Entry:
    """The entry of a device when it has been judged."""
    entry = catalog.entries[path]
    catalog.judge(entry, now)
    return entry


def test_a_document_is_judged_once_it_can_be(catalog: Catalog) -> None:
    """With its registry missing a device is at fault; when that comes it is judged again, and good."""
    catalog.config("C/B/D", config(), "broker", 100.0)
    entry = judged(catalog, now=100.0)
    assert entry.verdict is not None
    assert entry.verdict.missing == ("meter.csv",)
    assert catalog.due == {}
    assert catalog.document("meter.csv", CSV, 101.0) == ["C/B/D"]
    assert catalog.due == {"C/B/D": 101.0}
    assert [register.name for register in judged(catalog, now=101.0).verdict.spec.registers] == ["a"]  # type: ignore[union-attr]


def test_the_same_document_changes_nothing(catalog: Catalog) -> None:
    """A config or registry that comes again is not judged again."""
    catalog.config("C/B/D", config(), "broker", 0.0)
    catalog.document("meter.csv", CSV, 0.0)
    verdict = judged(catalog).verdict
    catalog.config("C/B/D", config(), "broker", 1.0)
    assert catalog.document("meter.csv", CSV, 1.0) == []
    assert catalog.due == {}
    assert judged(catalog).verdict is verdict


def test_what_the_disk_had_is_not_judged_again_when_the_broker_brings_it(catalog: Catalog) -> None:
    """After a start without broker the same documents come from there: a good verdict stands, and changes are judged."""
    catalog.config("C/B/D", config(), "disk", 0.0)
    catalog.entries["C/B/D"].documents = {"meter.csv": CSV}
    verdict = judged(catalog).verdict
    assert verdict is not None
    assert verdict.spec is not None
    catalog.config("C/B/D", config(), "broker", 1.0)
    assert catalog.document("meter.csv", CSV, 1.0) == ["C/B/D"]
    assert judged(catalog, now=1.0).verdict is verdict
    catalog.document("meter.csv", CSV + b"b,b,,float,\n", 2.0)
    assert judged(catalog, now=2.0).verdict is not verdict


def test_devices_with_the_same_registry_share_its_registers(catalog: Catalog) -> None:
    """A thousand meters of one kind take the memory of one registry; other ones have their own."""
    catalog.document("meter.csv", CSV, 0.0)
    catalog.document("other.csv", CSV + b"b,b,,float,\n", 0.0)
    specs = []
    for name, link in (("D", "meter.csv"), ("E", "meter.csv"), ("F", "other.csv")):
        catalog.config(f"C/B/{name}", config(link, interval=len(specs) + 1), "broker", 0.0)
        verdict = judged(catalog, f"C/B/{name}").verdict
        assert verdict is not None
        assert verdict.spec is not None
        specs.append(verdict.spec)
    assert specs[0].registers is specs[1].registers
    assert [len(spec.registers) for spec in specs] == [1, 1, 2]
    assert [spec.device.interval for spec in specs] == [1, 2, 3]


def test_fast_updates_are_taken_together(catalog: Catalog) -> None:
    """After a judgement the next comes half a second later, with the newest document; a flood does not put it off."""
    catalog.config("C/B/D", config(interval=1), "broker", 100.0)
    assert catalog.due == {"C/B/D": 100.0}
    judged(catalog, now=100.0)
    for number in range(2, 10):
        catalog.config("C/B/D", config(interval=number), "broker", 100.0 + number / 100)
        assert catalog.due == {"C/B/D": 100.0 + COALESCE}
    catalog.document("meter.csv", CSV, 100.2)
    verdict = judged(catalog, now=100.5).verdict
    assert verdict is not None
    assert verdict.spec is not None
    assert verdict.spec.device.interval == 9


def test_only_referrers_hear_of_a_document(catalog: Catalog) -> None:
    """A changed registry concerns the devices that link to it, and a removed device no more."""
    for path, link in (("C/B/D", "meter.csv"), ("C/B/E", "meter.csv"), ("C/B/F", "other.csv")):
        catalog.config(path, config(link), "broker", 0.0)
        judged(catalog, path)
    assert catalog.document("meter.csv", CSV, 1.0) == ["C/B/D", "C/B/E"]
    assert catalog.linked() == {"meter.csv", "other.csv"}
    catalog.remove("C/B/D")
    assert catalog.document("meter.csv", CSV + b"b,b,,float,\n", 2.0) == ["C/B/E"]
    assert set(catalog.due) == {"C/B/E"}


def test_a_device_that_links_elsewhere_now_is_no_referrer(catalog: Catalog) -> None:
    """The newest verdict says what a device links to."""
    catalog.config("C/B/D", config("meter.csv"), "broker", 0.0)
    judged(catalog)
    catalog.config("C/B/D", config("other.csv"), "broker", 1.0)
    judged(catalog)
    assert catalog.document("meter.csv", CSV, 2.0) == []
    assert catalog.linked() == {"other.csv"}


def test_a_deleted_document_is_missing_again(catalog: Catalog) -> None:
    """Its referrers are judged again."""
    catalog.config("C/B/D", config(), "broker", 0.0)
    catalog.document("meter.csv", CSV, 0.0)
    judged(catalog)
    assert catalog.document("meter.csv", b"", 1.0) == ["C/B/D"]
    verdict = judged(catalog).verdict
    assert verdict is not None
    assert (verdict.spec, verdict.missing) == (None, ("meter.csv",))


def test_documents_from_disk_stand_in_until_the_broker_has_them(catalog: Catalog) -> None:
    """A device from disk is compiled with what was kept beside it; what the broker has goes first."""
    catalog.config("C/B/D", config(), "disk", 0.0)
    catalog.entries["C/B/D"].documents = {"meter.csv": CSV}
    assert judged(catalog).verdict.spec is not None  # type: ignore[union-attr]
    catalog.document("meter.csv", CSV.replace(b"a,a", b"z,z"), 1.0)
    assert [register.name for register in judged(catalog).verdict.spec.registers] == ["z"]  # type: ignore[union-attr]
    catalog.config("C/B/D", config(), "broker", 2.0)
    entry = judged(catalog)
    assert (entry.source, entry.documents) == ("broker", {})


def test_an_orphan_that_comes_back_is_none(catalog: Catalog) -> None:
    """The same document on the broker again is news to the device's status."""
    catalog.config("C/B/D", config(), "broker", 0.0)
    judged(catalog)
    catalog.entries["C/B/D"].orphan = True
    catalog.config("C/B/D", config(), "broker", 1.0)
    assert not catalog.entries["C/B/D"].orphan
    assert set(catalog.due) == {"C/B/D"}


def test_links_are_found_through_documents(catalog: Catalog) -> None:
    """Before judging it is known what to ask the broker for, also behind documents at hand, and in a cycle."""
    catalog.config("C/B/D", config("a.json"), "broker", 0.0)
    catalog.document("a.json", b'["config://b.json", "config:///c.json/"]', 0.0)
    catalog.document("b.json", b'["config://a.json"]', 0.0)
    assert catalog.links(["C/B/D", "C/B/unknown"]) == {"a.json", "b.json", "c.json"}


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (b'{"a": "config://registry_configs/Device 12.csv"}', "registry_configs/Device 12.csv"),
        (b'{"a": "config://m/B\\u00fcro.csv"}', "m/B\u00fcro.csv"),
        ('{"a": "config://m/B\u00fcro.csv"}'.encode(), "m/B\u00fcro.csv"),
        (b'{"a": "config:\\/\\/m\\/x.csv"}', "m/x.csv"),
        (b'{"a": "config://a, b.csv"}', "a, b.csv"),
        (b"Name,Map,Units\r\np,config://my map.csv,kW\r\n", "my map.csv"),
        (b"Name;Map\np;config://my map.csv", "my map.csv"),
    ],
)
def test_a_link_may_have_blanks_and_escapes(catalog: Catalog, document: bytes, wanted: str) -> None:
    """A document is asked for by the name that its link means, however JSON or CSV write that."""
    catalog.config("C/B/D", document, "broker", 0.0)
    assert wanted in catalog.links(["C/B/D"])


def test_a_link_that_differs_in_case_is_named(catalog: Catalog) -> None:
    """The fault of a missing link says what the broker has instead."""
    catalog.variants.add("Meter.CSV")
    catalog.config("C/B/D", config(), "broker", 0.0)
    verdict = judged(catalog).verdict
    assert verdict is not None
    assert "Meter.CSV" in repr(verdict.errors)


def test_removing_what_is_not_there_is_no_fault(catalog: Catalog) -> None:
    """An empty config on an unknown path says nothing."""
    assert catalog.remove("C/B/D") is None


def test_a_driver_that_fails_at_judging_concerns_its_device_alone(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a fault of that device, its traceback is logged, and it is judged again when its registry changes."""

    def check(_: object) -> None:
        raise ZeroDivisionError

    catalog.config("C/B/D", config(), "broker", 0.0)
    catalog.document("meter.csv", CSV, 0.0)
    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(Fake, "check", check)
        verdict = judged(catalog).verdict
    assert verdict is not None
    assert (verdict.spec, verdict.errors) == (None, (FAILED,))
    assert [line["event"] for line in logged] == ["the judging of a config failed"]
    assert catalog.document("meter.csv", CSV + b"b,b,kW,float,TRUE\n", 1.0) == ["C/B/D"]
    assert judged(catalog, now=1.0).verdict.spec is not None  # type: ignore[union-attr]
