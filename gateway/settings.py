"""The settings of one gateway: a local YAML file, every key of it typed and with a default but the broker's url.

``load`` reads the file, lays the command line over it and tells all faults at once, each with its line. Relative paths in
the file count from the file's directory.
"""

from __future__ import annotations

import difflib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from gateway.allow import Allow
from gateway.settings_types import (
    HostAndPort,
    Level,
    LocalAddress,
    LocalPath,
    NetworkName,
    Place,
    Prefix,
    ReadableFile,
    ScopeEntry,
    Seconds,
    Secret,
    Size,
    Url,
)
from gateway.topics import overlap
from gateway.values import shown
from gateway.yamlfile import MAX_BYTES, BadYaml, Document, Location, read


class SettingsError(Exception):
    """The settings can not be used; ``faults`` says of each thing wrong where it stands and how to mend it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class Section(BaseModel):
    """A mapping of the file: unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Broker(Section):
    """How to reach the broker; ``ca`` is not needed where the system's own certificates suffice."""

    url: Url
    username: str | None = None
    password: Secret | None = None
    ca: ReadableFile | None = None
    cert: ReadableFile | None = None
    key: ReadableFile | None = Field(None, description="private key of cert, where cert does not hold it")
    crl: ReadableFile | None = None

    @field_validator("ca", "cert", "key", "crl")
    @classmethod
    def _needs_tls(cls, path: Path, info: ValidationInfo) -> Path:
        url = info.data.get("url")
        if url is not None and not url.tls:
            raise ValueError("is for TLS, but the url has none: write mqtts://, or leave this key out")
        if info.field_name == "key" and "cert" in info.data and info.data["cert"] is None:
            raise ValueError("is a key without a certificate: set cert too")
        return path


class AllowSection(Section):
    """Which networks and serial ports a device configuration may name."""

    networks: tuple[NetworkName, ...] = Allow().networks
    serial_ports: tuple[str, ...] = Allow().serial_ports


class Actuator(Section):
    """The rules of leases; times in seconds. ``high`` names the requesters that may pre-empt."""

    lease_required: StrictBool = False
    preempt_grace: Seconds = 60
    max_lease: Seconds = Field(86400, gt=0)
    heartbeat_interval: Seconds = Field(60, gt=0)
    announce_interval: Seconds = Field(60, gt=0)
    high: tuple[str, ...] = ("*",)


class Bacnet(Section):
    """The local interface for BACnet, and who we are there; ``bbmd`` is where to register as a foreign device."""

    address: LocalAddress | None = None
    bbmd: HostAndPort | None = None
    bbmd_ttl: Seconds = Field(300, ge=30, le=65535)
    device_id: StrictInt | None = Field(None, ge=0, le=4194302)
    device_name: str | None = None
    vendor_id: StrictInt = Field(999, ge=0, le=65535)
    vendor_name: str = ""


class Outbox(Section):
    """Bounds of the outage buffer: bytes on disk, seconds, and readings a second when they are replayed."""

    max_bytes: Size = Field(512 << 20, gt=0)
    max_age: Seconds = Field(7 * 86400, gt=0)
    replay_rate: float = Field(500.0, ge=1, le=100_000)


class Requests(Section):
    """How many requests one requester may make: a second, and at once."""

    rate: float = Field(200.0, gt=0, le=100_000)
    burst: StrictInt = Field(400, gt=0, le=100_000)


class Settings(Section):
    """Everything that can be set; section 1 of the reference says what each key means."""

    gateway_id: Level = Field(default_factory=socket.gethostname, validate_default=True)
    broker: Broker
    topic_prefix: Prefix = ""
    state_dir: LocalPath = Path("/var/lib/gateway")
    credentials_dir: LocalPath | None = None
    scope: tuple[ScopeEntry, ...] = ("#",)
    adopt: tuple[Level, ...] = ()
    reply_topics: Literal["own", "any"] = "own"
    json_rpc: StrictBool = True
    requests: Requests = Requests()
    allow_section: AllowSection = Field(AllowSection(), alias="allow")
    actuator: Actuator = Actuator()
    bacnet: Bacnet = Bacnet()
    outbox: Outbox = Outbox()

    @property
    def allow(self) -> Allow:
        """The allow-lists as the drivers want them."""
        return Allow(self.allow_section.networks, self.allow_section.serial_ports)

    @field_validator("gateway_id")
    @classmethod
    def _no_second_connection(cls, gateway_id: str) -> str:
        if gateway_id.endswith(".data"):
            raise ValueError("ends in .data, which is the client id of another gateway's second connection")
        return gateway_id

    @field_validator("scope")
    @classmethod
    def _apart(cls, scope: tuple[str, ...]) -> tuple[str, ...]:
        if not scope:
            raise ValueError('is empty, so no device would be ours: leave it out for all, or write "C/B/#"')
        for one, other in combinations(scope, 2):
            if overlap(one, other):
                raise ValueError(f"{shown(one)} and {shown(other)} overlap: each request for both would come twice")
        return scope


def load(
    path: Path | None, *, broker: str | None = None, state_dir: Path | None = None, environ: Mapping[str, str]
) -> Settings:
    """The settings in a file, with the url and directory of the command line laid over it.

    ``environ`` gives ``CREDENTIALS_DIRECTORY``, the default of credentials_dir. Raises SettingsError with all faults.
    """
    source = _Source(path, _document(path))
    data = dict(source.document.value or {})
    if state_dir is not None:
        data["state_dir"] = state_dir.absolute()
        source.elsewhere["state_dir",] = "--state-dir"
    if environ.get("CREDENTIALS_DIRECTORY") and "credentials_dir" not in data:
        data["credentials_dir"] = environ["CREDENTIALS_DIRECTORY"]
        source.elsewhere["credentials_dir",] = "$CREDENTIALS_DIRECTORY"
    section = data.setdefault("broker", {})
    if broker is not None and isinstance(section, dict):
        data["broker"] = section | {"url": broker}
        source.elsewhere["broker", "url"] = "--broker"
    return _validated(data, source)


@dataclass(frozen=True)
class _Source:
    """Where the values come from: the lines of the file, and what was given elsewhere."""

    path: Path | None
    document: Document
    elsewhere: dict[Location, str] = field(default_factory=dict)

    def line(self, location: Location) -> int:
        return 0 if location in self.elsewhere or self.path is None else self.document.line(location)

    def where(self, location: Location) -> str:
        return self.elsewhere.get(location) or self.at(self.line(location))

    def at(self, line: int) -> str:
        return f"{self.path} line {line}" if self.path else "settings"


def _document(path: Path | None) -> Document:
    if path is None:
        return Document(None)
    try:
        with path.open("rb") as file:
            document = read(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise SettingsError([f"{path}: can not be read: {error.strerror}"]) from None
    except BadYaml as error:
        raise SettingsError([f"{path} line {error.line}: {error}" if error.line else f"{path}: {error}"]) from None
    if not isinstance(document.value, (dict, type(None))):
        raise SettingsError([f"{path}: holds no keys and values, such as broker: {{url: mqtt://broker}}"])
    return document


def _validated(data: dict[str, Any], source: _Source) -> Settings:
    base = source.path.absolute().parent if source.path else Path.cwd()
    secrets = data.get("credentials_dir")
    place = Place(base, base / secrets if isinstance(secrets, str) else None)
    faults = [(line, f"{source.at(line)}: {message}") for line, message in source.document.faults]
    try:
        settings = Settings.model_validate(data, context=place)
    except ValidationError as error:
        malformed = {line for line, _ in faults}  # the consequences of a fault of form are no news
        found = [(source.line(d["loc"]), f"{source.where(d['loc'])}: {_sentence(d)}") for d in error.errors()]
        faults += [fault for fault in found if fault[0] not in malformed]
    if faults:
        raise SettingsError([sentence for _, sentence in sorted(faults)])
    return settings


_WANTED = {
    "string_type": "takes text",
    "bool_type": "takes true or false",
    "tuple_type": "takes a list such as [one, two]",
    "model_type": "takes keys and values",
}
_FOUND = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "keys and values"}


def _sentence(details: ErrorDetails) -> str:
    """What is wrong with one value, in plain words; the value itself is not told, as it may be a misplaced password."""
    location, context = details["loc"], details.get("ctx", {})
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    match details["type"]:
        case "extra_forbidden":
            return f'unknown key "{key}"' + _suggestion(location)
        case "missing":
            return f'the key "{key}" is missing: set it in the settings file, or give --broker URL'
        case "value_error":
            return f"{key}: {context['error']}"
        case "literal_error":
            return f"{key}: takes {context['expected']}"
        case "greater_than":
            return f"{key}: must be above {context['gt']:g}"
        case "greater_than_equal":
            return f"{key}: must be {context['ge']:g} or more"
        case "less_than_equal":
            return f"{key}: must be {context['le']:g} or less"
        case kind if kind in _WANTED:
            return f"{key}: {_WANTED[kind]}, not {_FOUND.get(type(details['input']), 'nothing')}"
        case _:
            return f"{key}: {details['msg']}"


def _suggestion(location: Location) -> str:
    keys = {name: (f.alias or name) for name, f in Settings.model_fields.items()}
    if len(location) > 1:
        name = next(name for name, alias in keys.items() if alias == location[0])
        section = Settings.model_fields[name].annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        keys = {name: name for name in section.model_fields}
    near = difflib.get_close_matches(str(location[-1]), keys.values(), n=1)
    return f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(keys.values())}"
