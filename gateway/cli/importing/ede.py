"""EDE, the exchange format of BACnet engineering: a device for each that the file names, a point for each object."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from gateway.cli.importing.ede_table import MOST_REFERENCE, Line, Table, decoded, references, table, whole
from gateway.cli.importing.model import Device, Names, Result, Row
from gateway.interfaces._bacnet import names
from gateway.interfaces._bacnet.config import MOST_DEVICE
from gateway.interfaces._bacnet.rows import BINARY, MULTI_STATE, WRITABLE

DEVICE = 8
YES, NO = ("y", "yes", "j", "ja", "1", "true", "x", "o", "oui"), ("", "n", "no", "nein", "0", "false", "non", "-")
NO_UNITS = 95
SIDE_FILES = {"states": ("statetexts", "statetext"), "units": ("units", "unit")}
"""How the names of the files end that belong to an EDE file."""


def convert(text: str, states: str = "", units: str = "") -> Result:
    """What becomes of an EDE file and its two side files, given as texts. Raises ImportFault."""
    return _Converter(table(text), references(states), references(units)).run()


def read(path: Path) -> str:
    """The text of a file of this format. Raises OSError."""
    return decoded(path.read_bytes())


def beside(path: Path, kind: str) -> Path | None:
    """The side file of a kind (``states``, ``units``) that lies beside an EDE file, if there is one."""
    stem = _squeezed(path.stem).removesuffix("ede")
    wanted = {f"{start}{end}" for start in (stem, f"{stem}ede") for end in SIDE_FILES[kind]}
    found = [other for other in path.parent.iterdir() if other != path and other.suffix.lower() == path.suffix.lower()]
    return next((other for other in sorted(found) if _squeezed(other.stem) in wanted), None)


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


class _Converter:
    def __init__(self, source: Table, states: Mapping[str, list[str]], units: Mapping[str, list[str]]) -> None:
        self._source = source
        self._states = states
        self._units = units
        self._result = Result()
        self._devices: dict[int, Device] = {}
        self._names: dict[int, Names] = {}
        self._seen: dict[tuple[int, int, int], int] = {}
        self._valueless: Counter[str] = Counter()

    def run(self) -> Result:
        for line in self._source.lines:
            self._take(line)
        self._result.devices = [device for device in self._devices.values() if device.rows]
        for title in self._source.unknown:
            self._result.note(f'column "{title}"', "is not known here")
        if self._valueless:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self._valueless.items()))
            self._result.note("objects without a value", kinds)
        return self._result

    def _take(self, line: Line) -> None:
        where = f"row {line.number}"
        device = whole(line["device"], MOST_DEVICE)
        instance = whole(line["instance"], MOST_DEVICE)
        try:
            object_type = names.object_type(line["type"])
        except ValueError:
            object_type = -1
        if device is None or instance is None or object_type < 0:
            given = ", ".join(f'{title} "{line[name]}"' for title, name in _ADDRESS)
            self._result.lost(where, f"names no object of a device: {given}")
            return
        if object_type == DEVICE:
            if instance == device and line["name"]:
                self._device(device).name = line["name"]
            self._valueless[names.type_name(DEVICE)] += 1
            return
        first = self._seen.setdefault((device, object_type, instance), line.number)
        if first != line.number:
            told = f"{names.type_name(object_type)} {instance} of device {device} stands in row {first} already"
            self._result.lost(where, told)
            return
        row = self._row(line, where, object_type, instance)
        if row is not None:
            taken = self._names.setdefault(device, Names())
            row["Volttron Point Name"] = name = taken.unique(row["Reference Point Name"])
            if name != row["Reference Point Name"]:
                self._result.note(where, f'"{row["Reference Point Name"]}" is there already: this one is called "{name}"')
            self._device(device).rows.append(row)

    def _device(self, number: int) -> Device:
        if number not in self._devices:
            self._devices[number] = Device(f"device_{number}", {"device_id": number}, {"interval": 60}, driver_type="bacnet")
        return self._devices[number]

    def _row(self, line: Line, where: str, object_type: int, instance: int) -> Row | None:
        kind = names.datatype(object_type, names.PRESENT_VALUE, False)
        if kind in ("none", ""):
            self._valueless[names.type_name(object_type)] += 1
            return None
        if kind == "unknown" or object_type == names.SCHEDULE:
            what = names.type_name(object_type)
            self._result.lost(where, f"which datatype the value of object type {what} has is not known: add it by hand")
            return None
        writable = self._settable(line, where) and kind in WRITABLE
        row = {
            "Reference Point Name": _printable(line["name"] or line["key"]) or f"{names.type_name(object_type)}_{instance}",
            "Units": self._unit(line, where),
            "BACnet Object Type": camel(names.type_name(object_type)),
            "Property": "presentValue",
            "Writable": "TRUE" if writable else "FALSE",
            "Index": str(instance),
            "Notes": _printable(line["description"]),
        }
        texts = self._texts(line, where)
        if object_type in MULTI_STATE:
            row |= _enum(texts)
            row["Unit Details"] = f"State count: {len(texts)}" if texts else ""
        elif object_type in BINARY:
            row["Unit Details"] = f"0: {texts[0]}, 1: {texts[1]}" if len(texts) == 2 else ""
        else:
            row |= self._limits(line, where, writable and kind in ("real", "double", "integer", "unsigned"))
        return row

    def _settable(self, line: Line, where: str) -> bool:
        word = line["settable"].lower()
        if word not in YES and word not in NO:
            self._result.note(where, f'settable "{line["settable"]}" is neither Y nor N: it can be read only')
        return word in YES

    def _unit(self, line: Line, where: str) -> str:
        code = line["unit"]
        if not code or code == str(NO_UNITS):
            return ""
        number = whole(code, 1 << 16)
        if number is not None and number in names.UNITS:
            return camel(names.UNITS[number])
        if number is not None and str(number) in self._units:
            return _printable(self._units[str(number)][0])
        self._result.note(where, f"unit-code {code} is not known: the file of units says what it is")
        return _printable(code)

    def _texts(self, line: Line, where: str) -> list[str]:
        number = whole(line["states"], MOST_REFERENCE)
        if not line["states"] or number == 0:
            return []
        if number is None or str(number) not in self._states:
            self._result.note(where, f"state-text-reference {line['states']} is in no file of state texts")
            return []
        return [_printable(text).replace(";", ",").replace("=", "-") for text in self._states[str(number)]]

    def _limits(self, line: Line, where: str, writable: bool) -> Row:
        """What the value may be; limits that are the same, mostly both 0, are none."""
        limits = {title: self._number(line, where, name) for title, name in (("Min", "minimum"), ("Max", "maximum"))}
        low, high, default = limits["Min"], limits["Max"], self._number(line, where, "default")
        told = "" if default is None else f"(default {default:.7g})"
        if low is None or high is None or low == high:
            return {"Unit Details": told}
        if low > high:
            self._result.note(where, f"min-present-value {low:g} is above max-present-value {high:g}: neither was taken")
            return {"Unit Details": told}
        details = {"Unit Details": f"{low:.7g} to {high:.7g} {told}".strip()}
        return details | {"Min": f"{low:.7g}", "Max": f"{high:.7g}"} if writable else details

    def _number(self, line: Line, where: str, name: str) -> float | None:
        text = line[name].replace(",", ".")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self._result.note(where, f'"{line[name]}" is no number')
            return None
        return value


_ADDRESS = (("device obj.-instance", "device"), ("object-type", "type"), ("object-instance", "instance"))


def _enum(texts: list[str]) -> Row:
    """The texts of the states 1, 2, ...; none if two are the same or one is empty, as they could not be told apart."""
    if not texts or not all(texts) or len({text.lower() for text in texts}) < len(texts):
        return {}
    return {"Enum": ";".join(f"{number}={text}" for number, text in enumerate(texts, 1))}


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()


def camel(name: str) -> str:
    """``analog-input`` as VOLTTRON writes it: ``analogInput``."""
    return re.sub(r"-(\w)", lambda match: match[1].upper(), name)
