"""``gateway check``: judge device configs and registries without a broker or a network."""

from __future__ import annotations

from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

from gateway.allow import Allow
from gateway.cli.budget import Load, load, report
from gateway.clock import SystemClock
from gateway.interfaces.base import Environment
from gateway.store.compile import Verdict, compile_device
from gateway.store.device_config import accepted_keys
from gateway.store.documents import Table
from gateway.store.faults import Faults, line, nearest
from gateway.store.links import PREFIX, parsed
from gateway.store.registry import POINT_NAME

OK, FAULTY, UNREADABLE = 0, 1, 2

MAP_NAME = "Register Name"
"""The column of a register map by which a registry's rows refer to its rows."""

STAND_IN = "campus/building/device"
"""The path of every device here: where a config will be published is not known."""

Echo = Callable[[str], None]


def check(files: list[Path], echo: Echo, credentials_dir: Path | None = None, allow: Allow | None = None) -> int:
    """Judge the files and echo what is wrong, in the words of the status topic, and a line with the result of each.

    A document that a config links to is looked for among the files, by the end of its path; then, by its whole path or the
    end of it, in the config's folder and those above, up to the one that holds a folder ``devices``. Of files that fit
    alike, the one in those folders is taken. ``credentials_dir`` holds the secrets that a config names,
    ``allow`` says where devices may be. In the end stands how devices use the links that they share. Returns 0 if all is
    well (warnings allowed), 1 if there is a fault, 2 if a file can not be read.
    """
    loads: list[Load] = []
    env = Environment(SystemClock(), allow or Allow())
    result = max((_check_file(file, files, echo, credentials_dir, loads, env) for file in files), default=OK)
    for words in report(loads):
        echo(words)
    return result


def _check_file(
    file: Path, files: list[Path], echo: Echo, credentials_dir: Path | None, loads: list[Load], env: Environment
) -> int:
    try:
        payload = file.read_bytes()
        if _is_device(payload):
            verdict = _judge(file, payload, files, echo, credentials_dir, env)
            if verdict.spec is not None and (one := load(str(file), verdict.spec, env)):
                loads.append(one)
            return _report_device(file, verdict, echo)
        return _report_document(file, payload, echo)
    except OSError as error:
        echo(f"{error.filename or file}: can not be read: {error.strerror}")
        return UNREADABLE


def _is_device(payload: bytes) -> bool:
    """Whether a document is an object with the key of a device config, be it misspelt."""
    document = parsed(payload, "", "", Faults())
    known = accepted_keys()
    return isinstance(document, dict) and any(key in known or nearest(key, known) for key in document)


def _report_device(file: Path, verdict: Verdict, echo: Echo) -> int:
    for fault in verdict.errors:
        echo(f"{file}: {line(fault)}")
    for warning in verdict.warnings:
        echo(f"{file}: warning: {line(warning)}")
    if verdict.spec is None:
        echo(f"{file}: {_counted(verdict.error_count, verdict.more)}")
        return FAULTY
    spec = verdict.spec
    points = "1 point" if len(spec.registers) == 1 else f"{len(spec.registers)} points"
    echo(f"{file}: ok, a {spec.driver_type} device with {points}, polled every {spec.device.interval:g} s")
    return OK


def _report_document(file: Path, payload: bytes, echo: Echo) -> int:
    faults = Faults()
    document = parsed(payload, "document", "registry", faults)
    summary = _summary(document, faults)
    for fault in faults.errors:
        echo(f"{file}: {line(fault)}")
    echo(f"{file}: {_counted(faults.count, faults.more) if faults.count else f'ok, {summary}'}")
    return FAULTY if faults.count else OK


def _judge(
    file: Path, payload: bytes, files: list[Path], echo: Echo, credentials_dir: Path | None, env: Environment
) -> Verdict:
    """The verdict with every linked document that can be found; links inside those are found in the next round."""
    documents: dict[str, bytes] = {}
    known: set[str] = set()
    unclear: dict[str, list[Path]] = {}
    while True:
        verdict = compile_device(STAND_IN, payload, documents, env, credentials_dir, known)
        before = len(documents) + len(known)
        for link in verdict.missing:
            places = _places(link, file, files)
            if len(places) == 1:
                documents[link] = places[0].read_bytes()
            elif places:
                unclear[link] = places
            else:
                known.update(_in_other_case(link, file, files))
        if len(documents) + len(known) == before:
            break
    for link, places in unclear.items():
        echo(f"{file}: {PREFIX}{link} may be {' or '.join(map(str, places))}: give one of them")
    return verdict


def _places(link: str, file: Path, files: list[Path]) -> list[Path]:
    """The files that may be the linked document; of given ones that fit alike, the one beside the config is it."""
    given, beside = _given(link, files), _beside(link, file)
    return [place for place in given if place.absolute() in beside] or given or beside


def _given(link: str, files: list[Path]) -> list[Path]:
    """The files whose paths end as the link does, those with the longest such end alone."""
    ends = {file: _common_end(link, file) for file in files}
    longest = max(ends.values(), default=0)
    return [file for file, end in ends.items() if longest and end == longest]


def _common_end(link: str, file: Path) -> int:
    pairs = zip(reversed(link.split("/")), reversed(file.absolute().parts), strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), len(link.split("/")))


def _beside(link: str, file: Path) -> list[Path]:
    """The nearest file that the link's path, or the end of it, leads to from a folder of the config."""
    places = (folder / end for folder in _folders(file) for end in _ends(link))
    return next(([place] for place in places if place.is_file()), [])


def _folders(file: Path) -> list[Path]:
    """The config's folder, and if it lies below a folder ``devices`` all up to the one that holds that."""
    parents = list(file.absolute().parents)
    above = next((index for index, parent in enumerate(parents) if parent.name == "devices"), -1)
    return parents[: above + 2]


def _ends(link: str) -> list[str]:
    """The link's path, and what is left of it as one level after the other is taken away in front."""
    levels = link.split("/")
    return ["/".join(levels[index:]) for index in range(len(levels)) if ".." not in levels]


def _in_other_case(link: str, file: Path, files: list[Path]) -> set[str]:
    """The link as it would be with the name of a file that differs only in case."""
    folder, _, wanted = link.rpartition("/")
    folders = [(place / end).parent for place in _folders(file) for end in _ends(link)]
    names = [f.name for f in files] + [f.name for place in folders if place.is_dir() for f in place.iterdir()]
    return {f"{folder}/{n}".lstrip("/") for n in names if n.casefold() == wanted.casefold() and n != wanted}


def _summary(document: Any, faults: Faults) -> str:
    """What a document is that is no device config; rows that are no objects are faults."""
    if isinstance(document, Table):
        lower = [column.lower() for column in document.columns]
        if POINT_NAME.lower() not in lower and MAP_NAME.lower() in lower:
            return f"a register map of {_rows(document.rows)}, judged with the registry that refers to it"
        if POINT_NAME.lower() not in lower:
            near = nearest(POINT_NAME, document.columns)
            hint = f'rename "{near}"' if near else "a device config would begin with {"
            faults.error("registry header", f'the column "{POINT_NAME}" is missing', hint)
        return f"a registry of {_rows(document.rows)} with the columns {', '.join(filter(None, document.columns))}"
    if not isinstance(document, list):
        return "an object without any key of a device config"
    for number, row in enumerate(document, 1):
        if not isinstance(row, dict):
            faults.error(f"registry row {number}", "a row is an object with a key for each column")
    columns = dict.fromkeys(key for row in document if isinstance(row, dict) for key in row)
    return f"a registry of {_rows(document)} with the keys {', '.join(columns)}"


def _counted(faults: int, more: bool) -> str:
    return f"{'at least ' if more else ''}{faults} fault{'s' if faults > 1 else ''}"


def _rows(rows: Sized) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"
