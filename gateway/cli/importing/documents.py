"""The files of what was imported: a device config and a registry for each device, at the paths of their topics."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.cli.importing.model import COLUMNS, Device, ImportFault, Names, Result, Row
from gateway.payloads import MAX_BYTES
from gateway.topics import Topics, path_fault

REGISTRIES = "registry_configs"
"""The folder of the registries, as in VOLTTRON."""

ALWAYS = {
    "modbus": ("Volttron Point Name", "Units", "Writable", "Table", "Type", "Address"),
    "bacnet": ("Volttron Point Name", "Units", "BACnet Object Type", "Property", "Writable", "Index"),
}
"""The columns of a driver's registry that are there, filled or not."""


def documents(result: Result, under: str) -> dict[str, str]:
    """The documents of all devices by topic; ``under`` is what stands before a device's name in its path.

    A name that can be no level of a topic is changed, which is noted in the result. Raises ImportFault.
    """
    if not result.devices:
        raise ImportFault("there is no device in it")
    if problem := path_fault(f"{under}/device"):
        raise ImportFault(f'--under "{under}": {problem}')
    found: dict[str, str] = {}
    names = Names()
    for device in result.devices:
        name = names.unique(level(device.name))
        if name != device.name:
            result.note(device.name, f'the device is called "{name}"')
        pair = _pair(device, name, under)
        if any(len(text.encode()) > MAX_BYTES for text in pair.values()):
            result.lost(
                device.name, f"its registry is longer than the {MAX_BYTES // 1024} KiB of a document: divide the device"
            )
        found |= pair
    return found


def _pair(device: Device, name: str, under: str) -> dict[str, str]:
    topics = Topics("")
    registry = f"{REGISTRIES}/{under}/{name}.csv"
    config = {"driver_type": device.driver_type, "driver_config": device.driver_config}
    config |= {"registry_config": f"config://{registry}"} | device.keys
    return {
        topics.device_config(f"{under}/{name}"): _json(config, device.name),
        topics.document(registry): csv_text(device.rows, ALWAYS[device.driver_type]),
    }


def _json(config: Mapping[str, Any], name: str) -> str:
    try:
        return json.dumps(config, indent=4, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:
        raise ImportFault(f'device "{name}" has an infinite number, or one that is none, in its settings') from None


def level(name: str) -> str:
    """A name as one level of a topic: what can not stand there becomes an underscore."""
    text = "".join("_" if c in "/+#" or not c.isprintable() else c for c in name.strip())
    return "_" + text[1:] if text.startswith("$") else text or "device"


def csv_text(rows: Iterable[Row], always: Collection[str]) -> str:
    """A registry with the columns that are filled or always there, one row a point."""
    rows = list(rows)
    columns = [column for column in COLUMNS if column in always or any(row.get(column) for row in rows)]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: cell for column, cell in row.items() if cell} for row in rows)
    return stream.getvalue()


def write(folder: Path, files: Mapping[str, str], force: bool) -> None:
    """Write each document to its topic's path below a folder. Raises ImportFault rather than overwrite another text."""
    paths = {folder / topic: text for topic, text in files.items()}
    taken = [path for path, text in paths.items() if path.exists() and path.read_text() != text]
    if taken and not force:
        raise ImportFault(f"{taken[0]} is there already, with other content: name another folder, or give --force")
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def number(value: Any) -> str:
    """A number as a cell, without a fraction that is none."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
