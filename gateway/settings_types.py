"""The kinds of values that settings have: each a function from what stands in the file to the value, or a ValueError.

The message of a ValueError completes "<key>: ..."; no secret and no url is ever repeated in one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainValidator, SecretStr, ValidationInfo

from gateway.allow import NAMED
from gateway.masking import conceal
from gateway.topics import is_topic, scope_fault
from gateway.values import shown

MAX_SECONDS = 3650 * 86400
MAX_SIZE = 1 << 50
MAX_SECRET_BYTES = 65535
"""A password in CONNECT is binary data of at most this length (MQTT 5.0, 1.5.6 and 3.1.3.6)."""

_SCHEMES = {"mqtt": (False, 1883), "tcp": (False, 1883), "mqtts": (True, 8883), "ssl": (True, 8883)}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_QUANTITY = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)\s*")


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where the broker is."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Place:
    """What the validators need to know of the machine: where relative paths start, where secrets are."""

    base: Path
    credentials: Path | None


def broker_url(text: Any) -> BrokerUrl:
    """The broker named by a url such as ``mqtts://broker:8883``; ValueError says what is wrong, never repeating the url."""
    if not isinstance(text, str) or "://" not in text:
        raise ValueError("begins with mqtt:// or mqtts://")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"is not a url: {'bad brackets' if 'IPv6' in str(error) else 'the port is 1 to 65535'}") from None
    if "@" in parts.netloc:
        raise ValueError("holds a user or password: write the keys username and password: {secret: name} instead")
    if parts.scheme not in _SCHEMES:
        raise ValueError("begins with mqtt:// or mqtts://")
    if not host or not host.isprintable() or " " in host:
        raise ValueError("names no host: write it as in mqtt://broker:1883")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("holds more than a host and a port")
    tls, usual = _SCHEMES[parts.scheme]
    if port == 0:
        raise ValueError("is not a url: the port is 1 to 65535")
    return BrokerUrl(host, port or usual, tls)


def _quantity(value: Any, units: Mapping[str, int], most: int, example: str) -> float:
    match = _QUANTITY.fullmatch(str(value)) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"takes a number or text such as {example}, not {shown(value)}")
    if float(match[1]) * unit > most:
        raise ValueError(f"{shown(value)} is more than {most}")
    return float(match[1]) * unit


def _seconds(value: Any) -> float:
    return _quantity(value, _SECONDS, MAX_SECONDS, "30s, 5m, 12h, 7d")


def _size(value: Any) -> int:
    return int(_quantity(value, _BYTES, MAX_SIZE, "512MiB, 2GB"))


def _level(text: str) -> str:
    if not is_topic(text) or "/" in text:
        raise ValueError(f"{shown(text)} is not one plain topic level: no + # /, printable, not beginning with $")
    return text


def _prefix(text: str) -> str:
    if text and not (is_topic(text) and all(text.split("/"))):
        raise ValueError(f"{shown(text)} is not a topic prefix: plain levels with / between them, as in site/floor-1")
    return text


def _scope_entry(text: str) -> str:
    fault = scope_fault(text)
    if fault:
        raise ValueError(f"{shown(text)} {fault}")
    return text


def _network(text: str) -> str:
    try:
        if text not in NAMED:
            ipaddress.ip_network(text)
    except ValueError as error:
        named = ", ".join(NAMED)
        raise ValueError(f"takes {named} or a block such as 10.1.0.0/16, not {shown(text)} ({error})") from None
    return text


def _local_address(text: str) -> str:
    interface, colon, port = text.partition(":")
    try:
        ipaddress.IPv4Interface(interface)
        good = not colon or 0 < int(port) < 65536
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"takes an address of this machine such as 192.168.1.10/24:47808, not {shown(text)}")
    return text


def _host_and_port(text: str) -> str:
    host, colon, port = text.partition(":")
    try:
        ipaddress.IPv4Address(host)
        good = not colon or 0 < int(port) < 65536
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"takes an IPv4 address such as 10.0.0.1 or 10.0.0.1:47808, not {shown(text)}")
    return text


def _path(value: Any, info: ValidationInfo[Place]) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("takes a path")
    return info.context.base / value


def _readable(path: Path) -> Path:
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"{path} can not be read: {error.strerror}") from None


def _secret(value: Any, info: ValidationInfo[Place]) -> SecretStr:
    name = value.get("secret") if isinstance(value, dict) and set(value) == {"secret"} else None
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        raise ValueError("takes {secret: name}, the name of a file in credentials_dir, and nothing else")
    if info.context.credentials is None:
        raise ValueError("there is no credentials_dir to read the secret from: set it, or $CREDENTIALS_DIRECTORY")
    return secret_file(info.context.credentials / name)


def secret_file(path: Path) -> SecretStr:
    """The text of a file that holds a secret, without the end of its line; it is concealed.

    ValueError says what is wrong with the file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ValueError(f"{path} can not be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    if not text or len(content) > MAX_SECRET_BYTES:
        raise ValueError(f"{path} is empty or longer than {MAX_SECRET_BYTES} bytes")
    conceal(text)
    return SecretStr(text)


Url = Annotated[BrokerUrl, PlainValidator(broker_url)]
Secret = Annotated[SecretStr, PlainValidator(_secret)]
Level = Annotated[str, AfterValidator(_level)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Size = Annotated[int, BeforeValidator(_size)]
LocalPath = Annotated[Path, BeforeValidator(_path)]
ReadableFile = Annotated[Path, BeforeValidator(_path), AfterValidator(_readable)]
Prefix = Annotated[str, AfterValidator(_prefix)]
ScopeEntry = Annotated[str, AfterValidator(_scope_entry)]
NetworkName = Annotated[str, AfterValidator(_network)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
LocalAddress = Annotated[str, AfterValidator(_local_address)]
