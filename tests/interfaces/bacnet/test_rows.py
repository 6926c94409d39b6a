"""Rows, names and keys of BACnet devices, and what was learned about them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import ConfigFault
from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.config import BacnetConfig
from gateway.interfaces._bacnet.learned import Learned
from gateway.interfaces._bacnet.rows import BacnetRegister, BacnetRow, make
from gateway.interfaces._bacnet.values import Local, Target


def made(config: dict[str, Any] | None = None, **columns: Any) -> BacnetRegister:
    """The register of a row; ``_`` stands for the space."""
    cells = {"Volttron Point Name": "p", "BACnet Object Type": "analogValue", "Index": "1"}
    cells |= {title.replace("_", " "): cell for title, cell in columns.items()}
    given = {"device_id": 1} | (config or {})
    return make(BacnetRow.model_validate(cells), BacnetConfig.model_validate(given))


# ---- names


def test_the_tables_are_those_of_the_stack() -> None:
    """Names and numbers agree with what the BACnet library knows."""
    basetypes = pytest.importorskip("bacpypes3.basetypes")
    primitive = pytest.importorskip("bacpypes3.primitivedata")
    for table, known in (
        ({name: number for number, (name, _) in names.OBJECT_TYPES.items()}, primitive.ObjectType._enum_map),
        ({name: number for number, (name, _) in names.PROPERTIES.items()}, basetypes.PropertyIdentifier._enum_map),
        ({name: number for number, name in names.UNITS.items()}, basetypes.EngineeringUnits._enum_map),
        ({name: number for number, name in names.RELIABILITIES.items()}, basetypes.Reliability._enum_map),
    ):
        squeezed = {name.replace("-", "").lower(): number for name, number in known.items()}
        assert {name: squeezed.get(name.replace("-", "")) for name in table} == table


@pytest.mark.parametrize("spelling", ["analogInput", "analog-input", "Analog Input", "ANALOG_INPUT", "0"])
def test_a_name_may_be_spelt_in_any_way(spelling: str) -> None:
    """VOLTTRON's spelling, the standard's, and the number."""
    assert names.object_type(spelling) == 0


@given(st.sampled_from(sorted(names.PROPERTIES)))
def test_every_property_is_found_by_its_name_and_number(number: int) -> None:
    """And back."""
    assert names.property_of(names.property_name(number)) == names.property_of(str(number)) == number


@pytest.mark.parametrize("text", ["analogImput", "", "1024", "-1", "½"])
def test_what_is_no_object_type_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="object type"):
        names.object_type(text)


# ---- rows


@pytest.mark.parametrize(
    ("kind", "type_", "datatype"),
    [
        ("analogInput", "float", "real"),
        ("analogOutput", "float", "real"),
        ("binaryInput", "boolean", "enumerated"),
        ("binaryValue", "boolean", "enumerated"),
        ("multiStateOutput", "integer", "unsigned"),
        ("accumulator", "integer", "unsigned"),
        ("largeAnalogValue", "float", "double"),
        ("integerValue", "integer", "integer"),
        ("positiveIntegerValue", "integer", "unsigned"),
        ("characterstringValue", "string", "character-string"),
        ("octetstringValue", "string", "octet-string"),
        ("bitstringValue", "string", "bit-string"),
        ("dateValue", "string", "date"),
        ("timeValue", "string", "time"),
        ("datetimeValue", "string", "other"),
        ("pulseConverter", "float", "real"),
        ("loop", "float", "real"),
        ("calendar", "boolean", "boolean"),
        ("lifeSafetyPoint", "integer", "enumerated"),
        ("accessDoor", "integer", "enumerated"),
        ("lightingOutput", "float", "real"),
        ("command", "integer", "unsigned"),
        ("timer", "integer", "unsigned"),
        ("loadControl", "integer", "enumerated"),
        ("group", "string", "other"),
    ],
)
def test_every_kind_of_object_has_its_type(kind: str, type_: str, datatype: str) -> None:
    """The type that clients see is the true one."""
    register = made(BACnet_Object_Type=kind)
    assert (register.type, register.datatype) == (type_, datatype)


@pytest.mark.parametrize(
    "number", [n for n, (_, kind) in names.OBJECT_TYPES.items() if kind != "none" and n != names.SCHEDULE]
)
def test_every_object_with_a_present_value_can_be_a_point(number: int) -> None:
    """By the number of its type too."""
    assert made(BACnet_Object_Type=str(number)).ref.object_type == number


def test_priorities_belong_to_present_values_that_may_be_commanded() -> None:
    """An output has one, an input, another property and a point that is not writable have none."""
    assert made(Writable="TRUE").priority == 16
    assert made(Writable="TRUE", Write_Priority="9").priority == 9
    assert made(Write_Priority="9").priority is None
    assert made(BACnet_Object_Type="analogInput", Writable="TRUE", Write_Priority="9").priority is None
    assert made(Property="covIncrement", Writable="TRUE").priority is None
    assert made({"min_priority": 10}, Writable="TRUE").min_priority == 10


def test_an_array_is_one_element_or_a_text() -> None:
    """With an index it has the type of its elements; element 0 is the length."""
    assert made(Property="priorityArray", Array_Index="8").type == "float"
    assert made(Property="priorityArray", Array_Index="0").type == "integer"
    assert made(Property="priorityArray").type == "string"
    assert made(Property="stateText", BACnet_Object_Type="multiStateValue", Array_Index="2").type == "string"


def test_what_only_the_manufacturer_knows_is_said_by_the_row() -> None:
    """Properties and object types beyond the standard need their datatype."""
    with pytest.raises(ConfigFault, match="can not be known"):
        made(Property="512")
    assert made(Property="512", Data_Type="Character String").datatype == "character-string"
    assert made(BACnet_Object_Type="128", Data_Type="real", Writable="TRUE").priority is None


def test_a_datatype_of_the_standard_can_not_be_denied() -> None:
    """But a device may hold a number of another kind than it should."""
    assert made(Data_Type="double").datatype == "double"
    assert made(BACnet_Object_Type="binaryValue", Data_Type="enumerated").type == "boolean"
    for kind, said in (("analogValue", "boolean"), ("binaryValue", "real"), ("characterstringValue", "real")):
        with pytest.raises(ConfigFault) as raised:
            made(BACnet_Object_Type=kind, Data_Type=said)
        assert raised.value.where == "Data Type"


def test_texts_of_states_are_a_choice() -> None:
    """Only multi-state present values, and not where the row has an Enum."""
    text = {"enumerations": "text"}
    assert made(text, BACnet_Object_Type="multiStateInput").textual
    assert made(text, BACnet_Object_Type="multiStateInput", Enum="1=Off;2=On").textual is False
    assert made(text, BACnet_Object_Type="binaryInput").type == "boolean"
    assert made(BACnet_Object_Type="multiStateInput").type == "integer"


# ---- driver_config


def test_a_device_is_named_by_id_address_or_both() -> None:
    """At least one of them."""
    assert BacnetConfig.model_validate({"device_id": 5}).target == Target(5, None)
    assert BacnetConfig.model_validate({"device_address": "10.0.0.5:47809"}).target == Target(None, "10.0.0.5:47809")
    assert BacnetConfig.model_validate({"device_id": "5", "device_address": "7:12"}).target == Target(5, "7:12")
    with pytest.raises(ValidationError, match="device_id, device_address, or both"):
        BacnetConfig.model_validate({})


@pytest.mark.parametrize(
    "address",
    ["host", "10.0.0", "10.0.0.256", "10.0.0.5:0", "10.0.0.5:70000", "65535:1", "0:1", "7:", "7:0x", "7:0x0", ":5"],
)
def test_addresses_that_are_none_are_refused(address: str) -> None:
    """Before anything is asked."""
    with pytest.raises(ValidationError, match="write an IP address"):
        BacnetConfig.model_validate({"device_address": address})


@pytest.mark.parametrize(
    "address", ["10.0.0.5", "10.0.0.5:47809", "2001:17", "2001:0x0a1b", "7:10.0.0.5", "7:10.0.0.5:47808"]
)
def test_addresses_of_each_kind_are_taken(address: str) -> None:
    """On the network, and behind a router."""
    assert BacnetConfig.model_validate({"device_address": address}).device_address == address


@pytest.mark.parametrize("bbmd", ["7:12", "host", "10.0.0.1:0"])
def test_a_bbmd_is_on_the_ip_network(bbmd: str) -> None:
    """Nobody registers behind a router."""
    with pytest.raises(ValidationError, match="IP address"):
        BacnetConfig.model_validate({"device_id": 1, "bbmd": bbmd})


@pytest.mark.parametrize(("given", "port"), [(0, 47808), (1, 47809), (47808, 47808), (50000, 50000), ("2", 47810)])
def test_a_small_port_counts_from_47808(given: int, port: int) -> None:
    """As in VOLTTRON's newer driver."""
    assert BacnetConfig.model_validate({"device_id": 1, "bacnet_port": given}).local == Local(None, port, None)


@pytest.mark.parametrize("priority", [1, 2])
def test_the_priorities_of_life_safety_need_two_words(priority: int) -> None:
    """A number alone is not enough."""
    with pytest.raises(ValidationError, match="life_safety"):
        BacnetConfig.model_validate({"device_id": 1, "min_priority": priority})
    given = {"device_id": 1, "min_priority": priority, "life_safety": True}
    assert BacnetConfig.model_validate(given).min_priority == priority
    assert BacnetConfig.model_validate({"device_id": 1}).min_priority == 8


def test_a_timeout_bounds_what_the_tries_take() -> None:
    """It never makes a request take longer."""
    cases = [({}, 6), ({"timeout": 30}, 6), ({"timeout": 2}, 2), ({"apdu_timeout": 10, "apdu_retries": 2}, 30)]
    for keys, seconds in cases:
        assert BacnetConfig.model_validate({"device_id": 1} | keys).patience == seconds


# ---- what was learned

OBJECTS = st.tuples(st.sampled_from(sorted(names.OBJECT_TYPES)), st.integers(0, 4194302))
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)


@given(
    st.one_of(st.none(), st.integers(50, 1476)),
    st.booleans(),
    st.sets(OBJECTS, max_size=4),
    st.dictionaries(OBJECTS, st.sampled_from(sorted(names.UNITS.values())), max_size=4),
    st.dictionaries(OBJECTS, st.lists(TEXTS, min_size=1, max_size=4).map(tuple), max_size=4),
)
def test_what_was_learned_is_told_and_recalled(
    octets: int | None, single: bool, plain: set[Any], units: dict[Any, str], texts: dict[Any, Any]
) -> None:
    """Sentences that people understand hold all of it."""
    known = Learned()
    known.octets, known.single, known.plain, known.units, known.texts = octets, single, plain, units, texts
    known.untold[0, 1] = "refused"
    known.changed()
    facts = json.loads(json.dumps(known.facts()))
    again = Learned(facts)
    assert (again.octets, again.single, again.plain, again.units, again.texts) == (octets, single, plain, units, texts)
    assert again.untold == {}, "whether changes are told is found out anew"


@given(st.lists(st.text(max_size=40), max_size=5))
def test_sentences_that_are_none_of_ours_are_passed_over(facts: list[str]) -> None:
    """They may be of another version."""
    assert Learned(facts).plain == set()


def test_facts_stay_the_same_object_until_something_is_new() -> None:
    """So that it costs nothing to ask after each poll."""
    known = Learned()
    known.single = True
    known.changed()
    assert known.facts() is known.facts()
    assert known.facts() == ("one property at a time",)
