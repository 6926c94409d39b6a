"""What every import does: read a file, convert it, write the documents, say what became of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.cli.importing.documents import documents, write
from gateway.cli.importing.model import ImportFault, Remark, Result

OK, LOST, FAILED = 0, 1, 2

Echo = Callable[[str], None]
Convert = Callable[[str], Result]
Read = Callable[[Path], str]


def utf8(file: Path) -> str:
    """The text of a file in UTF-8, with or without a mark. Raises OSError, UnicodeDecodeError."""
    return file.read_text("utf-8-sig")


def import_file(
    convert: Convert, file: Path, folder: Path, under: str, force: bool, echo: Echo, complain: Echo, read: Read = utf8
) -> int:
    """Convert a file into documents below a folder.

    ``echo`` gets a line for each file written, ``complain`` one for each remark. Returns 0 if all was carried over, 1 if
    something was not, 2 if nothing was written.
    """
    try:
        return deliver(convert(read(file)), folder, under, force, echo, complain)
    except OSError as error:
        complain(f"{error.filename or file}: {error.strerror}")
    except UnicodeDecodeError:
        complain(f"{file}: is not UTF-8 text: save it as such")
    except ImportFault as fault:
        complain(f"{file}: {fault}")
    return FAILED


def deliver(result: Result, folder: Path, under: str, force: bool, echo: Echo, complain: Echo) -> int:
    """Write the documents of a result and tell of them. Returns the exit code. Raises ImportFault and OSError."""
    files = documents(result, under)
    write(folder, files, force)
    for remark in result.remarks:
        complain(told(remark))
    for topic in files:
        echo(f"{folder / topic}")
    points = sum(len(device.rows) for device in result.devices)
    lost = sum(remark.lost for remark in result.remarks)
    echo(
        f"{_counted(len(result.devices), 'device')}, {_counted(points, 'point')}, {_counted(lost, 'thing')} not carried over"
    )
    return LOST if lost else OK


def told(remark: Remark) -> str:
    """A remark as a line."""
    return f"{'not carried over' if remark.lost else 'note'}: {remark.where}: {remark.text}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
