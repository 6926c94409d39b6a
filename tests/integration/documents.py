"""Device configs for tests."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def point(name: str, kind: str = "float", start: object = "1.5", writable: bool = True, **columns: Any) -> dict[str, Any]:
    """A row of a fake registry."""
    row = {"Point Name": name, "Volttron Point Name": name, "Type": kind, "Starting Value": start, "Writable": writable}
    return row | columns


def fake(*rows: dict[str, Any] | str, interval: float = 0.2, driver: dict[str, Any] | None = None, **keys: Any) -> dict:
    """A fake device with these rows, one float ``t`` if there are none; a single text is a link to the registry."""
    registry: Any = rows[0] if rows and isinstance(rows[0], str) else list(rows) or [point("t")]
    return {"driver_type": "fake", "driver_config": driver or {}, "interval": interval, "registry_config": registry} | keys


def register(name: str, address: int, kind: str = ">H", writable: bool = True, **columns: Any) -> dict[str, Any]:
    """A row of a Modbus registry."""
    return {"Volttron Point Name": name, "Modbus Register": kind, "Point Address": address, "Writable": writable} | columns


def modbus(port: int, *rows: dict[str, Any], interval: float = 0.2, timeout: float = 0.5, **keys: Any) -> dict:
    """A Modbus device on the loopback interface, one holding register ``r`` at 0 if there are no rows."""
    driver = {"device_address": "127.0.0.1", "port": port, "slave_id": 1, "timeout": timeout}
    registry = list(rows) or [register("r", 0)]
    return {"driver_type": "modbus", "driver_config": driver, "interval": interval, "registry_config": registry} | keys


def csv(*rows: dict[str, Any]) -> bytes:
    """Rows with the same columns, as a registry in CSV."""
    lines = [",".join(rows[0]), *(",".join(str(cell) for cell in row.values()) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def digest(document: object) -> str:
    """The hash that a status tells of a document."""
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    return hashlib.sha256(payload).hexdigest()
