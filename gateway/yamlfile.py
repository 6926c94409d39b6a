"""YAML text to plain values that know the line they came from; pure.

Only what a settings file needs: mappings with text keys, lists and scalars (YAML 1.2). Keys that stand twice, aliases and
tags are faults: a parser would take the last key in silence, and aliases can blow a small file up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Location = tuple[str | int, ...]
"""Keys and list indexes from the top of a document to a value."""

MAX_BYTES = 256 * 1024

_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}


class BadYaml(ValueError):
    """The text is no YAML document that is accepted; ``line`` counts from 1, 0 if there is none."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Document:
    """The value of a YAML text, the line of every key and list item, and the faults of form as (line, message)."""

    value: Any
    lines: dict[Location, int] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """The line of the value at a location, or of the nearest thing around it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def read(content: bytes) -> Document:
    """The document in a file's content. Raises BadYaml where no value can be made of it at all."""
    if len(content) > MAX_BYTES:
        raise BadYaml(f"more than the {MAX_BYTES} bytes that it may have")
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadYaml(f"not UTF-8: byte 0x{content[error.start]:02x}", content.count(b"\n", 0, error.start) + 1) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise BadYaml(f"not YAML: {', '.join(filter(None, (error.context, error.problem)))}", line) from None
    except YAMLError as error:
        raise BadYaml(f"not YAML: {getattr(error, 'reason', error)}") from None
    except RecursionError:
        raise BadYaml("nested too deeply") from None
    reader = _Reader(yaml.constructor.construct_object)
    return Document(None if node is None else reader.value(node, ()), reader.lines, reader.faults)


class _Reader:
    """Walks the nodes of one document."""

    def __init__(self, scalar: Callable[[Node], Any]) -> None:
        self.lines: dict[Location, int] = {}
        self.faults: list[tuple[int, str]] = []
        self._scalar = scalar
        self._seen: dict[int, Node] = {}

    def value(self, node: Node, at: Location) -> Any:
        if id(node) in self._seen:
            return self._fault(node, "aliases (*name) are not accepted: write the value out")
        if node.tag not in _TAGS:
            return self._fault(node, f"the tag {node.tag} is not accepted")
        self._seen[id(node)] = node
        self.lines.setdefault(at, _line(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, at)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*at, index)) for index, item in enumerate(node.value)]
        return self._plain(node)

    def _mapping(self, node: MappingNode, at: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or not key.value.isprintable():
                self._fault(key, "a key is printable text")
            elif key.value in result:
                self._fault(key, f'the key "{key.value}" stands twice')
            else:
                self.lines[(*at, key.value)] = _line(key)
                result[key.value] = self.value(value, (*at, key.value))
        return result

    def _plain(self, node: Node) -> Any:
        try:
            value = self._scalar(node)
            str(value).encode()
            return value
        except (YAMLError, ValueError):  # the value itself is not told: it may be a password in the wrong place
            return self._fault(node, f"not a valid {str(node.tag).rpartition(':')[2]}")

    def _fault(self, node: Node, message: str) -> None:
        self.faults.append((_line(node), message))


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
