"""Registry rows to registers."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from gateway.errors import ConfigFault
from gateway.interfaces.base import RegistryRow, shared
from gateway.model import Register
from gateway.store.documents import Table, parse_document
from gateway.store.faults import Faults, line
from gateway.store.registry import MAX_FAILED, Registry, as_text


class Row(RegistryRow):
    """The row of a driver with an address and a kind."""

    address: int = Field(alias="Point Address", ge=0)
    kind: str = Field("float", alias="Modbus Register")


class NearRow(Row):
    """A row with a column whose title is nearly one of another driver's."""

    points: str = Field("", alias="Entity Points")


class PlaceholderRow(Row):
    """A row that is nothing without its address."""

    skip_if_blank: ClassVar[tuple[str, ...]] = ("Point Address", "Volttron Point Name")


def make(row: Row) -> tuple[Register]:
    """A driver's way with a row: two addresses are not to its liking."""
    if row.address == 13:
        raise ConfigFault("13 brings bad luck", "Point Address", "14")
    if row.address == 99:
        raise ConfigFault("99 is not made")
    return (Register(**shared(row, row.kind)),)


def read(source: Any, row: type[RegistryRow] = Row, point_topics: bool = False) -> tuple[Registry, list[str], list[str]]:
    """The registry, errors and warnings of a CSV text or a list of rows."""
    faults = Faults()
    registry = Registry(row, make, point_topics, faults)
    registry.read(parse_document(source.encode()) if isinstance(source, str) else source)
    return registry, [line(fault) for fault in faults.errors], [line(fault) for fault in faults.warnings]


def test_titles_are_matched_whatever_their_case_and_blanks():
    """A header in other case, with stray blanks, names the same columns."""
    registry, errors, warnings = read(" VOLTTRON  point name ,point ADDRESS,units\nkW,1,W\n")

    assert (errors, warnings) == ([], [])
    assert [(register.name, register.units) for register in registry.registers] == [("kW", "W")]


def test_csv_and_json_give_the_same_registers():
    """A JSON row with numbers, flags and null is what its CSV row is."""
    cells = {"Point Address": 1, "Writable": True, "Scale": 0.5, "Min": -1, "Default Value": 2.5, "Units": None, "Enum": ""}
    by_json, _, _ = read([{"Volttron Point Name": 101} | cells])
    by_csv, _, _ = read(
        "Volttron Point Name,Point Address,Writable,Scale,Min,Default Value,Units,Enum\n101,1,true,0.5,-1,2.5,,\n"
    )

    assert by_json.registers == by_csv.registers
    assert by_csv.registers[0] == Register(
        name="101", type="float", raw_type="float", writable=True, minimum=-1, default=2.5, scale=0.5
    )


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63))
def test_a_json_number_is_written_so_that_it_is_read_back(number: float):
    """The text that a JSON number becomes is the same number."""
    text = as_text(number)

    assert (int if isinstance(number, int) else float)(text) == number


@pytest.mark.parametrize(
    "column", ["Index", "Write Priority", "COV Flag", "Property", "Register Name", "Type", "Table", "Installed By"]
)
def test_an_unused_column_is_a_warning(column: str):
    """A column that the driver does not know and that is no misspelling is told and passed over."""
    registry, errors, warnings = read(f"Volttron Point Name,Point Address,{column}\nkW,1,x\n")

    assert (errors, warnings) == ([], [f'registry column "{column}": is not used by this driver'])
    assert len(registry.registers) == 1


def test_a_column_of_volttrons_is_never_a_misspelling():
    """Another driver's column is passed over, be it ever so near to one of this driver's."""
    _, errors, warnings = read("Volttron Point Name,Point Address,Entity Point\na,1,x\n", NearRow)

    assert (errors, warnings) == ([], ['registry column "Entity Point": is not used by this driver'])


def test_true_is_no_number():
    """A flag in a JSON row is not taken for 1 where a number is wanted."""
    _, errors, _ = read([{"Volttron Point Name": "a", "Point Address": True}])

    assert errors == ['registry row 1, key "Point Address": "true" is not a whole number']


@pytest.mark.parametrize(
    ("column", "right"),
    [
        ("Point Adress", "Point Address"),
        ("PointAddress", "Point Address"),
        ("Modbus Registr", "Modbus Register"),
        ("Writeable", "Writable"),
        ("Volttron Point", "Volttron Point Name"),
        ("Unit", "Units"),
        ("Def Value", "Default Value"),
    ],
)
def test_a_misspelt_column_is_a_fault(column: str, right: str):
    """A column that nearly has a known title is a fault that names it."""
    _, errors, _ = read(f"Volttron Point Name,Point Address,{column}\nkW,1,1\n")

    assert errors[0] == f'registry column "{column}": is not known (suggestion: {right})'


def test_a_misspelt_column_is_read_as_what_it_means():
    """The rows under a misspelt title are judged too, and its absence is not a second fault."""
    _, errors, _ = read("Volttron Point Name,Point Adress\nkW,x\n")

    assert errors == [
        'registry column "Point Adress": is not known (suggestion: Point Address)',
        'registry row 2, column "Point Address": "x" is not a whole number',
    ]


def test_a_missing_column_is_told_once():
    """A header without a needed column is one fault; the other cells of the rows are judged all the same."""
    _, errors, _ = read("Volttron Point Name,Scale\na,1\nb,x\nc,2\n")

    assert errors == [
        'registry header: the column "Point Address" is missing',
        'registry row 3, column "Scale": "x" is not a number',
    ]


def test_an_unknown_key_of_an_inline_row_is_a_fault():
    """Inline, VOLTTRON's columns are warnings and any other key is a fault, told at its first row."""
    rows = [{"Volttron Point Name": name, "Point Address": 1, "Index": 3, "Colour": "red", "Unit": "W"} for name in "ab"]
    _, errors, warnings = read(rows)

    assert errors == [
        'registry row 1, key "Colour": is not known',
        'registry row 1, key "Unit": is not known (suggestion: Units)',
    ]
    assert warnings == ['registry key "Index": is not used by this driver']


def test_two_spellings_of_a_key_in_a_row_are_a_fault():
    """A row that has a column twice under different cases is refused."""
    _, errors, _ = read([{"Volttron Point Name": "a", "Point Address": 1, "Units": "W", "units": "kW"}])

    assert errors == ['registry row 1, key "units": stands beside another spelling of "Units"']


def test_rows_without_a_name_are_left_out_and_told():
    """Placeholder rows are one warning with their numbers, as a spreadsheet shows them."""
    registry, errors, warnings = read("Volttron Point Name,Point Address\n,x\na,1\n\n  ,3\n")

    assert errors == []
    assert warnings == ["registry rows 2, 5: no Volttron Point Name: left out"]
    assert len(registry.registers) == 1


def test_a_long_list_of_placeholders_is_cut():
    """Only the first 20 rows left out are numbered."""
    _, _, warnings = read([{"Units": "W"}] * 25)

    assert warnings[0].startswith("registry rows 1, 2, 3,")
    assert "20 and 5 more" in warnings[0]


def test_a_driver_says_which_columns_make_a_row():
    """A row is a placeholder if any column of the model's skip_if_blank is empty."""
    registry, errors, warnings = read([{"Volttron Point Name": "a"}, {"Point Address": 1}], PlaceholderRow)

    assert (registry.registers, errors) == ([], [])
    assert warnings == ["registry rows 1, 2: no Point Address or Volttron Point Name: left out"]


def test_a_name_twice_names_both_rows():
    """The second point of a name is a fault that says where the first is, even if that one is bad itself."""
    _, errors, _ = read("Volttron Point Name,Point Address\nkW,x\nkW,2\n")

    assert errors[1] == 'registry row 3, column "Volttron Point Name": "kW" is the name of row 2 already'


@pytest.mark.parametrize("name", ["all", "zone/status", "meta/x", "a/replay/b"])
def test_the_names_of_our_topics_are_taken(name: str):
    """A level that is one of our topics is refused with point topics on, and free without."""
    rows = [{"Volttron Point Name": name, "Point Address": 1}]

    assert "is not free as a level" in read(rows, point_topics=True)[1][0]
    assert read(rows)[1] == []


@pytest.mark.parametrize("name", ["a+b", "#1", "Zone/Temp", "Außentemperatur °C", "allowed", "statuses/x", "5"])
def test_any_printable_name_is_free(name: str):
    """Other printable text is a point's name, wildcards included."""
    assert read([{"Volttron Point Name": name, "Point Address": 1}], point_topics=True)[1] == []


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "x" * 256, "a\u200bb"])
def test_an_unprintable_or_endless_name_is_refused(name: str):
    """A name with a control character, or longer than 255 characters, is a fault."""
    assert "is not printable text" in read([{"Volttron Point Name": name, "Point Address": 1}])[1][0]


def test_a_drivers_fault_has_its_row_and_column():
    """What the driver says against a row is told at the row, with its column and suggestion if it names them."""
    _, errors, _ = read("Volttron Point Name,Point Address\na,13\nb,99\n")

    assert errors == [
        'registry row 2, column "Point Address": 13 brings bad luck (suggestion: 14)',
        "registry row 3: 99 is not made",
    ]


def test_every_fault_of_every_row_is_told():
    """One pass finds all faults: of the name, the cells and the driver."""
    _, errors, _ = read("Volttron Point Name,Point Address,Writable,Scale\na,-1,maybe,x\na,13,TRUE,1\nb,1,TRUE,0\n")

    assert [error.split(":")[0] for error in errors] == [
        'registry row 2, column "Writable"',
        'registry row 2, column "Scale"',
        'registry row 2, column "Point Address"',
        'registry row 3, column "Volttron Point Name"',
        'registry row 3, column "Point Address"',
        'registry row 4, column "Scale"',
    ]


def test_a_row_that_is_no_object_is_a_fault():
    """A list of anything but objects is refused row by row."""
    assert read([5, ["a"]])[1] == [
        "registry row 1: a row is an object with a key for each column",
        "registry row 2: a row is an object with a key for each column",
    ]


@pytest.mark.parametrize("cells", ["{i},x", "a,{i}", ",,"])
def test_a_hopeless_registry_is_not_read_to_its_end(cells: str):
    """After very many faults the rest is left, and the count is called a lower bound."""
    faults = Faults()
    lines = "\n".join(cells.format(i=i) + ("" if "{" in cells else f"{i}") for i in range(3 * MAX_FAILED))
    table = parse_document(f"Volttron Point Name,Point Address,Units,Notes\n{lines}\n".encode())
    assert isinstance(table, Table)
    Registry(Row, make, False, faults).read(table)

    assert faults.more is (cells != ",,")
    assert faults.count in (0, MAX_FAILED)


def test_rows_without_a_needed_column_are_not_all_judged():
    """Rows that fail for what was told of the header are bounded too."""
    faults = Faults()
    table = parse_document(b"Volttron Point Name\n" + b"".join(b"p%d\n" % i for i in range(2 * MAX_FAILED)))
    assert isinstance(table, Table)
    Registry(Row, make, False, faults).read(table)

    assert (faults.count, faults.more) == (1, True)


def test_without_a_driver_rows_are_judged_alone():
    """With a bad driver_config there is nobody to make registers, but the cells are judged."""
    faults = Faults()
    registry = Registry(Row, None, False, faults)
    registry.read([{"Volttron Point Name": "a", "Point Address": 13}, {"Volttron Point Name": "b", "Point Address": "x"}])

    assert (len(registry.registers), faults.count) == (0, 1)
