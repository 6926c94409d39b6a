"""``config://`` links: any text of a document that begins so stands for the linked document."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from gateway.payloads import BadPayload
from gateway.store.documents import BadDocument, Table, may_link, parse_document, sha256
from gateway.store.faults import Faults, name
from gateway.topics import is_topic

PREFIX = "config://"
MAX_LINKS = 100
MAX_NESTED = 4
MAX_BROKEN = 500
"""After so many links that lead nowhere the rest is not followed."""

MAX_BYTES = 512 * 1024
"""What the linked documents of one device may have together, one that is linked to twice counted twice."""

OVERHEAD = 64

Where = tuple[int | str, ...]


class Links:
    """Follows the links of one device's documents.

    ``documents`` maps the paths of links to bytes, ``known`` are paths that a link may have meant. ``hashes`` are the
    documents that were found, ``missing`` those that were not; ``broken`` is where a link could not be followed: None
    stands there, and a fault is told.
    """

    def __init__(self, documents: Mapping[str, bytes], known: Collection[str], faults: Faults) -> None:
        self.hashes: dict[str, str] = {}
        self.missing: list[str] = []
        self.broken: set[Where] = set()
        self._documents = documents
        self._known = known
        self._faults = faults
        self._parsed: dict[str, Any] = {}
        self._bytes = 0

    def expand(self, value: Any, where: Where, stack: tuple[str, ...]) -> Any:
        """The value with every link in it followed; ``stack`` is the paths of the documents that it stands in."""
        if isinstance(value, str):
            return self._follow(value, where, stack) if value.startswith(PREFIX) else value
        if isinstance(value, dict):
            return {key: self.expand(inner, (*where, key), stack) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.expand(inner, (*where, index), stack) for index, inner in enumerate(value)]
        if isinstance(value, Table) and value.links:
            rows = ((number, self.expand(cells, (*where, index), stack)) for index, (number, cells) in enumerate(value.rows))
            return replace(value, rows=tuple(rows))
        return value

    def _follow(self, link: str, where: Where, stack: tuple[str, ...]) -> Any:
        if len(self.broken) >= MAX_BROKEN:
            self._faults.more = True
            return None
        path = link.removeprefix(PREFIX).strip().strip("/")
        problem = self._problem(path, stack)
        if problem:
            self._faults.error(_shown(where), f'{problem}: "{name(link)}"')
        elif path not in self._parsed:
            self._parsed[path] = self._load(path, where)
        document = None if problem else self._parsed[path]
        if document is None:
            self.broken.add(where)
            return None
        self._bytes += len(self._documents[path]) + OVERHEAD
        if not isinstance(document, Table) and not may_link(self._documents[path]):
            return document
        return self.expand(document, where, (*stack, path))

    def _problem(self, path: str, stack: tuple[str, ...]) -> str:
        """Why a link may not be followed, if it may not."""
        if not is_topic(path):
            return "the link does not name a document"
        if path in stack:
            return "the link leads back to a document that it stands in"
        if len(stack) > MAX_NESTED:
            return f"links are nested deeper than {MAX_NESTED}"
        if self._bytes > MAX_BYTES:
            return f"the linked documents have more than {MAX_BYTES} bytes together"
        if len(self._parsed) >= MAX_LINKS and path not in self._parsed:
            return f"more than {MAX_LINKS} documents are linked to"
        return ""

    def _load(self, path: str, where: Where) -> Any:
        """The parsed document; None and a fault if it is missing or can not be parsed."""
        payload = self._documents.get(path)
        if payload is None:
            self.missing.append(path)
            known = next(
                (k for k in chain(self._documents, self._known) if k.casefold() == path.casefold() and k != path), ""
            )
            self._faults.error(_shown(where), f'there is no document "{name(path)}"', PREFIX + known if known else "")
            return None
        self.hashes[path] = sha256(payload)
        return parsed(payload, PREFIX + name(path), "registry" if where == ("registry_config",) else path, self._faults)


def parsed(payload: bytes, where: str, rows: str, faults: Faults) -> Any:
    """The value of a document; None and a fault if it can not be parsed. ``rows`` stands before the number of a row."""
    try:
        document = parse_document(payload)
    except BadPayload as error:
        faults.error(where, str(error), error.suggestion if isinstance(error, BadDocument) else "")
        return None
    for number in document.surplus if isinstance(document, Table) else ():
        faults.error(f"{rows} row {number}", "there is a value under no column title", "check the separators and quotes")
    return document


def _shown(where: Where) -> str:
    return ".".join(map(name, where))
