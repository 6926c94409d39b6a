"""``config://`` links."""

from __future__ import annotations

from typing import Any

import pytest

from tests.store.judging import ROWS, Config, errors, fake, judge


def test_links_stand_for_documents_anywhere():
    """A link inside a row, an object or another linked document is replaced by what it names."""
    verdict = judge(
        fake(registry_config="config://rows", interval=5),
        rows=["config://row", {"Point Name": "b", "Volttron Point Name": "b", "Type": "int", "Enum": "config://enum"}],
        row=ROWS[0],
        enum='/* modes */ {"0": "Off", "1": "On"}',
    )

    assert errors(verdict) == []
    assert verdict.spec is not None
    assert verdict.spec.registers[1].enum == {0: "Off", 1: "On"}
    assert set(verdict.links) == {"rows", "row", "enum"}


def test_a_linked_table_in_a_driver_config_is_a_list_of_objects(driver: None):
    """A driver sees a linked CSV as the objects that VOLTTRON would give it."""
    config = {"driver_type": "d", "driver_config": {"address": "x", "map": "config://m"}, "registry_config": []}
    spec = judge(config, m="Register Name,Address\nkW,1\n").spec

    assert spec is not None
    assert isinstance(spec.config, Config)
    assert spec.config.map == ({"Register Name": "kW", "Address": "1"},)


def test_missing_links_are_told_once_each():
    """Each missing document is a fault and listed; what depends on it has no fault of its own."""
    config = {"driver_type": "modbus", "driver_config": {"device_address": "config://host", "timeout": "config://host"}}
    verdict = judge(config | {"registry_config": "config://rows"})

    assert verdict.missing == ("host", "rows")
    assert errors(verdict) == [
        'driver_config.device_address: there is no document "host"',
        'registry_config: there is no document "rows"',
    ]


def test_a_row_with_a_missing_link_has_no_second_fault():
    """A cell that a link should have brought does not make its row faulty too."""
    rows = [{"Point Name": "config://p", "Volttron Point Name": "a", "Type": "float"}, *ROWS]

    assert errors(judge(fake(registry_config=rows))) == ['registry_config.0.Point Name: there is no document "p"']


def test_a_document_that_differs_in_case_is_suggested():
    """Names are exact, but a near one is told, known from the broker or at hand."""
    config = fake(registry_config="config://Rows")

    for verdict in (judge(config, rows=ROWS), judge(config, known=("other", "Rows", "rows"))):
        assert errors(verdict) == ['registry_config: there is no document "Rows" (suggestion: config://rows)']


@pytest.mark.parametrize(
    ("documents", "link"),
    [
        ({"a": ["config://a"]}, "a"),
        ({"a": ["config://b"], "b": ["config://a"]}, "a"),
        ({"a": ["config://devices/C/B/D"]}, "devices/C/B/D"),
    ],
)
def test_a_link_cycle_is_a_fault(documents: dict[str, Any], link: str):
    """A document that is part of itself, directly or not, is refused."""
    verdict = judge(fake(registry_config="config://a"), **documents)

    assert "leads back" in errors(verdict)[0]
    assert link in errors(verdict)[0]


def test_links_may_be_nested_four_deep():
    """A chain of four documents is followed, one of five is not."""
    chain = {"a": ["config://b"], "b": ["config://c"], "c": ["config://d"], "d": []}

    assert "nested deeper" not in str(errors(judge(fake(registry_config="config://a"), **chain)))
    chain |= {"d": ["config://e"], "e": []}
    assert "nested deeper than 4" in str(errors(judge(fake(registry_config="config://a"), **chain)))


@pytest.mark.parametrize("link", ["config://", "config://#", "config://a/+/b", "config://$SYS", "config://a\u0000"])
def test_a_link_must_name_one_document(link: str):
    """A link that could be subscribed to as a filter is refused and never listed as missing."""
    verdict = judge(fake(registry_config=link))

    assert "does not name a document" in errors(verdict)[0]
    assert verdict.missing == ()


def test_a_bad_linked_document_is_told_with_its_name():
    """What is wrong inside a linked document is told under its link, and the rest is judged."""
    verdict = judge(fake(registry_config="config://rows", interval=0), rows=b'[{"a": 1')

    assert [error.split(" ")[0] for error in errors(verdict)] == ["config://rows:", "interval:"]


def test_linked_documents_are_bounded_together():
    """Documents that name each other many times are not multiplied without end."""
    lists = {"a": ["config://b"] * 1000, "b": ["config://c"] * 1000, "c": ["x"] * 1000}
    verdict = judge(fake(registry_config="config://a"), **lists)

    assert "more than 524288 bytes together" in errors(verdict)[0]
    assert verdict.more


def test_a_hundred_documents_may_be_linked_to():
    """More documents than that are not subscribed to."""
    verdict = judge(fake(registry_config=[f"config://r{number}" for number in range(101)]))

    assert len(verdict.missing) == 100
    assert verdict.error_count == 101


def test_a_table_where_a_value_belongs_is_a_fault():
    """A linked CSV is not taken for a number."""
    assert errors(judge(fake(interval="config://i"), i="5\n")) == ["interval: a table is not a number"]
