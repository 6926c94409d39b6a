"""Objects as an EDE file, the engineering data exchange of BIG-EU, layout 2.3, with its file of state texts."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.importing.model import ImportFault
from gateway.cli.scanning.bacnet_device import Found, FoundDevice
from gateway.cli.scanning.bacnet_report import LARGEST, printable, short

COLUMNS = (
    "keyname",
    "device obj.-instance",
    "object-name",
    "object-type",
    "object-instance",
    "description",
    "present-value-default",
    "min-present-value",
    "max-present-value",
    "settable",
    "supports COV",
    "hi-limit",
    "low-limit",
    "state-text-reference",
    "unit-code",
    "vendor-specific-address",
)
MANDATORY = 5
"""So many of the columns each row must fill."""


def write_ede(path: Path, devices: Sequence[FoundDevice], force: bool) -> list[Path]:
    """Write the EDE file and, beside it, ``<name>_StateTexts.csv`` if there are texts; the files written.

    Raises ImportFault rather than overwrite another text.
    """
    references: dict[tuple[str, ...], int] = {}
    rows = [_row(device, found, references) for device in devices for found in device.objects]
    texts = {path: _text([*_header(path.stem, devices), *rows])}
    if references:
        lines: list[list[str]] = [["#State Text Reference"], ["#Reference Number", "Text 1 or Inactive-Text"]]
        lines += [[str(number), *states] for states, number in references.items()]
        texts[path.with_name(f"{path.stem}_StateTexts.csv")] = _text(lines)
    taken = [file for file, text in texts.items() if file.exists() and file.read_text("utf-8-sig") != text]
    if taken and not force:
        raise ImportFault(f"{taken[0]} is there already, with other content: name another file, or give --force")
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8-sig", newline="")
    return list(texts)


def _header(project: str, devices: Sequence[FoundDevice]) -> list[list[str]]:
    return [
        ["# Proposal_Engineering-Data-Exchange - B.I.G.-EU"],
        ["PROJECT_NAME", printable(project)],
        ["VERSION_OF_REFERENCEFILE", "1"],
        ["TIMESTAMP_OF_LAST_CHANGE", time.strftime("%Y-%m-%d")],
        ["AUTHOR_OF_LAST_CHANGE", "gateway scan bacnet"],
        ["VERSION_OF_LAYOUT", "2.3"],
        ["#mandatory"] * MANDATORY + ["#optional"] * (len(COLUMNS) - MANDATORY),
        ["# " + COLUMNS[0], *COLUMNS[1:]],
    ]


def _row(device: FoundDevice, found: Found, references: dict[tuple[str, ...], int]) -> list[str]:
    name = printable(found.name)
    states = tuple(printable(text) for text in found.states)
    reference = str(references.setdefault(states, len(references) + 1)) if states else ""
    default = short(found.default) if isinstance(found.default, (int, float)) else ""
    return [
        f"{device.facts.device_id}.{name}",
        str(device.facts.device_id),
        name,
        str(found.object_type),
        str(found.instance),
        printable(found.description),
        default,
        _limit(found.minimum),
        _limit(found.maximum),
        "Y" if found.commandable else "N",
        "Y" if found.cov else "N",
        "",
        "",
        reference,
        "" if found.units is None else str(found.units),
        "",
    ]


def _limit(value: float | None) -> str:
    return "" if value is None or not abs(value) < LARGEST else short(value)


def _text(rows: Sequence[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=";", lineterminator="\r\n").writerows(rows)
    return stream.getvalue()
