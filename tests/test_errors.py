from __future__ import annotations

import inspect
import re

import pytest

from gateway import errors
from gateway.errors import (
    TABLE,
    BadRequest,
    ConfigFault,
    DeviceError,
    GatewayError,
    NotSent,
    OutOfRange,
    PointFailed,
    RequestError,
    Transient,
)

CLASSES = {name: cls for name, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, GatewayError)}

CODES = {
    "bad_request",
    "unknown_method",
    "unknown_device",
    "unknown_point",
    "read_only",
    "bad_value",
    "out_of_range",
    "lease_required",
    "leased_by_other",
    "overridden",
    "lease_lost",
    "device_offline",
    "device_rejected",
    "timeout",
    "outcome_unknown",
    "busy",
    "unavailable",
    "misconfigured",
    "internal",
}
"""The table of the public contract."""


def test_codes_are_those_of_the_contract() -> None:
    """The classes and the table have the codes of the contract, no other and all of them, and each says what to do next."""
    assert {cls.code for cls in CLASSES.values()} == TABLE.keys() == CODES
    assert all(row.meaning and row.next for row in TABLE.values())


def test_each_class_to_raise_says_its_code() -> None:
    """Only DeviceError, which stands for its classes, PointFailed, and those whose code is their base's have none."""
    silent = {cls for cls in CLASSES.values() if "code" not in vars(cls)}
    assert silent == {DeviceError, BadRequest, PointFailed, NotSent}


def test_failed_point_keeps_its_own_code() -> None:
    """A point that failed is told with the code that it failed with."""
    assert PointFailed("device_rejected", "illegal data address").code == "device_rejected"
    assert PointFailed("timeout", "no answer").message == "no answer"


def test_tree_at_the_top_is_the_tree_of_classes() -> None:
    """The drawing in the module's docstring names each class below its base, with its code."""
    drawn = re.findall(r"^([│ ]*)[├└]── (\w+) +(\S+)", errors.__doc__ or "", re.MULTILINE)
    assert {name for _, name, _ in drawn} == set(CLASSES) - {"GatewayError"}
    bases: list[type[GatewayError]] = [GatewayError]
    for indent, name, code in drawn:
        cls = CLASSES[name]
        del bases[len(indent) // 4 + 1 :]
        assert cls.__base__ is bases[-1], name
        bases.append(cls)
        if cls not in (RequestError, DeviceError, PointFailed):
            assert code == cls.code, name


def test_message_is_for_people_and_data_for_programs() -> None:
    """An error keeps its sentence and its data, and reads as its sentence."""
    error = OutOfRange("11 is too much", max=10)
    assert (error.message, str(error), error.data) == ("11 is too much", "11 is too much", {"max": 10})


def test_fault_says_where_and_how_to_mend() -> None:
    """A ConfigFault carries the column or key at fault and what to write instead."""
    fault = ConfigFault("is not known", "Type", "float")
    assert (fault.message, fault.where, fault.suggestion) == ("is not known", "Type", "float")
    assert (ConfigFault("x").where, ConfigFault("x").suggestion) == ("", "")


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES.keys())
def test_each_class_says_what_it_means(cls: type[GatewayError]) -> None:
    """Each class has a docstring of its own."""
    assert cls.__doc__
    assert cls.__doc__ != cls.__base__.__doc__


def test_requests_and_devices_fail_apart() -> None:
    """What is refused before the wire is no device error, and the other way round."""
    assert not issubclass(RequestError, DeviceError)
    assert not issubclass(Transient, RequestError)
