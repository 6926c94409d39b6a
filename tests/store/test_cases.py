"""Every folder of tests/cases: a device config, the documents that it links to, and the verdict that is expected.

A folder holds ``device.json``, the documents below ``config/`` at the paths of their links, and ``expected.json``.
"""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from gateway.interfaces._bacnet.rows import BacnetRegister
from gateway.interfaces.base import Environment
from gateway.model import Fault
from gateway.store.compile import Verdict, compile_device

PLACES = ("kind", "mixed", "count", "precision", "divisor", "scale_kind", "tolerance", "write_only", "through", "read_back")
"""What a Modbus register may say of itself beside its place."""

CASES = Path(__file__).parent.parent / "cases"


def judge(case: Path, env: Environment) -> Verdict:
    """The verdict on a case folder."""
    config = case / "config"
    documents = {path.relative_to(config).as_posix(): path.read_bytes() for path in config.rglob("*") if path.is_file()}
    return compile_device("C/B/D", (case / "device.json").read_bytes(), documents, env, None)


def plain(verdict: Verdict) -> dict[str, Any]:
    """The verdict as expected.json has it: what is empty is left out."""
    shown: dict[str, Any] = {
        "errors": [written(fault) for fault in verdict.errors],
        "warnings": [written(fault) for fault in verdict.warnings],
        "missing": list(verdict.missing),
        "links": sorted(verdict.links),
        "gateway": verdict.gateway,
    }
    if verdict.spec is not None:
        device = verdict.spec.device.model_dump(exclude_defaults=True) | {"driver_type": verdict.spec.driver_type}
        shown |= {
            "device": device,
            "config": verdict.spec.config.model_dump(exclude_defaults=True, exclude={"register_map"}),
        }
        shown["points"] = {register.name: point(register) for register in verdict.spec.registers}
    return {key: value for key, value in shown.items() if value not in ([], {}, None)}


def written(fault: Fault) -> list[str]:
    """A fault as expected.json has it."""
    return [fault.where, fault.message, *([fault.suggestion] if fault.suggestion else [])]


def point(register: Any) -> dict[str, Any]:
    """What a register says of itself that is not a default."""
    plain = {
        "mixed": False,
        "divisor": 1,
        "scale_kind": "power",
        "count": 1,
        "read_back": True,
        "write_only": False,
        "through": 0,
        "no_value": [],
    }
    plain |= {"raw_type": register.type, "units": "", "writable": False, "scale": 1, "offset": 0, "deadband": 0}
    keys = ("type", "raw_type", "units", "writable", "minimum", "maximum", "default", "enum", "scale", "offset", "deadband")
    values = {key: getattr(register, key) for key in (*keys, "table", "address", "format") if hasattr(register, key)}
    values |= {key: getattr(register, key, None) for key in PLACES} | {"no_value": sorted(register.no_value)}
    if isinstance(register, BacnetRegister):
        values |= {key: getattr(register, key) for key in ("datatype", "priority", "cov", "textual")}
        values |= {"ref": list(astuple(register.ref)), "cov": register.cov or None, "textual": register.textual or None}
    return {key: value for key, value in values.items() if value not in (plain.get(key), None)}


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_case(case: Path, env: Environment):
    """The verdict on a case folder is the expected one, to the word."""
    verdict = json.loads(json.dumps(plain(judge(case, env)), default=str))

    assert verdict == json.loads((case / "expected.json").read_text())
