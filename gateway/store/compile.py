"""A device config and the documents that it links to, judged as a whole; no network, no clock, no threads."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any

from gateway import interfaces
from gateway.errors import ConfigFault, RequestError
from gateway.interfaces.base import DriverConfig, Environment, Interface
from gateway.model import Fault, Register
from gateway.store.credentials import Credentials
from gateway.store.device_config import DeviceConfig, Spec, accepted_keys
from gateway.store.documents import MAX_ROWS, Table, may_link, sha256
from gateway.store.faults import Faults, checked, config_fault, keys, nearest, only_known
from gateway.store.links import PREFIX, Links, parsed
from gateway.store.registry import Registry
from gateway.store.volttron import DRIVER_KEYS, KEYS
from gateway.topics import Topics, is_topic, path_fault
from gateway.values import coerce, shown


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a device config.

    ``spec`` is None if there is any error. ``errors`` and ``warnings`` list at most 100 each; ``error_count`` is the number
    of all errors, or a lower bound if ``more``. ``hash`` is SHA-256 (hex) of the document, ``links`` the same of each linked
    document at hand, ``missing`` the links to others. ``gateway`` is the owner that the document names, if it can be read
    that far.
    """

    spec: Spec | None
    errors: tuple[Fault, ...]
    error_count: int
    warnings: tuple[Fault, ...]
    hash: str
    links: dict[str, str]
    missing: tuple[str, ...]
    gateway: str | None
    more: bool = False


def compile_device(
    path: str,
    payload: bytes,
    documents: Mapping[str, bytes],
    env: Environment,
    credentials_dir: Path | None,
    documents_known: Collection[str] = (),
    *,
    secrets_elsewhere: bool = False,
) -> Verdict:
    """Judge the config of the device at ``path`` with every document that it links to.

    ``documents`` maps the paths after ``config://`` to bytes; ``documents_known`` are paths of others, to tell one that
    differs only in case. Secrets are read from ``credentials_dir``; with ``secrets_elsewhere`` one that is not at hand is no
    fault, and there is no spec although there is no error. What is wrong is in the verdict; nothing is raised.
    """
    faults, document_hash = Faults(), sha256(payload)
    if problem := path_fault(path):
        faults.error("path", problem)
    document = _document(payload, faults)
    links = Links(documents, documents_known, faults)
    spec = None
    if document is not None:
        if may_link(payload):
            document = links.expand(document, (), (_own_link(path),))
        credentials = Credentials(credentials_dir, faults, secrets_elsewhere)
        spec = _Compiler(path, env, credentials, links, faults).spec(document, document_hash)
        if spec is not None:
            spec = replace(spec, payload=payload, documents={link: documents[link] for link in links.hashes})
    owner = document.get("gateway") if document else None
    return Verdict(
        spec=spec if not faults.count else None,
        errors=tuple(faults.errors),
        error_count=faults.count,
        warnings=tuple(faults.warnings),
        hash=document_hash,
        links=links.hashes,
        missing=tuple(links.missing),
        gateway=owner if isinstance(owner, str) and owner else None,
        more=faults.more,
    )


def _own_link(path: str) -> str:
    """What a link to the device config itself would say."""
    topics = Topics("")
    return topics.device_config(path).removeprefix(topics.document(""))


def _document(payload: bytes, faults: Faults) -> dict[str, Any] | None:
    """The device config under its proper keys; None and a fault if it is no object."""
    document = parsed(payload, "document", "document", faults)
    if isinstance(document, dict):
        meaning = accepted_keys()
        return {meaning[key]: value for key, value in only_known(document, meaning, KEYS, "", faults).items()}
    if document is not None:
        faults.error("document", "a device config is a JSON object")
    return None


class _Compiler:
    """What judging one device needs at hand."""

    def __init__(self, path: str, env: Environment, credentials: Credentials, links: Links, faults: Faults) -> None:
        self._path = path
        self._env = env
        self._credentials = credentials
        self._links = links
        self._faults = faults

    def spec(self, document: Mapping[str, Any], document_hash: str) -> Spec | None:
        """The device; None and faults if anything is wrong."""
        rest = {key: value for key, value in document.items() if key not in ("driver_config", "registry_config")}
        device = checked(DeviceConfig, rest, "", self._faults, self._broken())
        given, rows = document.get("driver_config", {}), document.get("registry_config")
        self._judge_kinds(given, rows)
        driver = self._driver(document.get("driver_type"))
        if driver is None:
            return None
        config = self._config(driver, document.get("driver_type"), given) if isinstance(given, dict) else None
        interface = None if config is None else self._interface(driver, config)
        point_topics = device is not None and device.publish_depth_first
        registers = self._registers(driver, interface, rows, point_topics)
        if device is not None:
            self._remark(device, registers)
        if device is None or config is None or registers is None:
            return None
        return Spec(
            path=self._path,
            driver_type=interfaces.ALIASES.get(device.driver_type, device.driver_type),
            interface=driver,
            config=config,
            registers=registers,
            device=device,
            hash=document_hash,
            fingerprint=_fingerprint(document_hash, self._links.hashes),
        )

    def _broken(self, *inside: str) -> set[str]:
        """The keys whose value a link should have brought and did not."""
        depth = len(inside)
        return {str(where[depth]) for where in self._links.broken if where[:depth] == inside and len(where) > depth}

    def _judge_kinds(self, driver_config: object, rows: object) -> None:
        if not isinstance(driver_config, dict) and ("driver_config",) not in self._links.broken:
            self._faults.error("driver_config", "is not an object", "{}")
        if not isinstance(rows, (Table, list, NoneType)):
            hint = PREFIX + re.sub(PREFIX, "", rows, flags=re.I) if isinstance(rows, str) and is_topic(rows) else ""
            self._faults.error("registry_config", "is neither a list of rows nor a link to a registry", hint)

    def _driver(self, driver_type: object) -> type[Interface] | None:
        if not isinstance(driver_type, str) or not driver_type:
            return None  # the model has told it
        if remark := interfaces.refused(driver_type):
            self._faults.warn("driver_type", remark)
        try:
            return interfaces.load(driver_type)
        except ConfigFault as fault:
            self._faults.error(fault.where, fault.message, fault.suggestion)
            return None

    def _config(self, driver: type[Interface], driver_type: object, given: dict[str, Any]) -> DriverConfig | None:
        given = interfaces.translated(driver_type, given)
        known = only_known(given, keys(driver.Config), DRIVER_KEYS, "driver_config.", self._faults)
        known = {key: value.records() if isinstance(value, Table) else value for key, value in known.items()}
        revealed = self._credentials.reveal(known)
        broken = self._broken("driver_config") | self._credentials.broken
        return checked(driver.Config, revealed, "driver_config.", self._faults, broken)

    def _interface(self, driver: type[Interface], config: DriverConfig) -> Interface | None:
        try:
            interface = driver(config, self._env)
            interface.check()
        except ConfigFault as fault:
            config_fault(fault, "driver_config", self._faults)
            return None
        return interface

    def _registers(
        self, driver: type[Interface], interface: Interface | None, rows: object, point_topics: bool
    ) -> tuple[Register, ...] | None:
        """The points; None if they could not all be judged."""
        if ("registry_config",) in self._links.broken or not isinstance(rows, (Table, list, NoneType)):
            return None
        if rows is None:
            self._faults.warn("registry_config", "there is none: the device has no points")
            return ()
        if isinstance(rows, list) and len(rows) > MAX_ROWS:  # a CSV of that size was refused when it was read
            self._faults.error("registry_config", f"more than {MAX_ROWS} rows")
            return None
        make, extend = (interface.registers, interface.cells) if interface else (None, None)
        registry = Registry(driver.Row, make, point_topics, self._faults, extend)
        broken = {where[1] for where in self._links.broken if where[0] == "registry_config" and isinstance(where[1], int)}
        before = self._faults.count
        registry.read(rows, broken)
        if interface is None or self._faults.count > before:
            return None
        registers, faults = interface.complete(registry.registers)
        for fault in faults:
            self._faults.error(f'registry column "{fault.where}"', fault.message, fault.suggestion)
        if not registers:
            self._faults.warn("registry_config", "no row is a point: the device has no points")
        return registers

    def _remark(self, device: DeviceConfig, registers: tuple[Register, ...] | None) -> None:
        """What only the whole shows: the heartbeat's point, and flags that have no effect."""
        for flag in ("publish_breadth_first_all", "publish_breadth_first"):
            if getattr(device, flag):
                self._faults.warn(flag, "topics with the point first are not published")
        point = device.heart_beat_point
        if not point:
            return
        writable = {r.name: r for r in registers or () if r.writable}
        if registers is not None and point not in writable:
            self._faults.error("heart_beat_point", f"there is no writable point {shown(point)}", nearest(point, writable))
        elif registers is not None and not _beats(writable[point]):
            self._faults.error("heart_beat_point", f"the point {shown(point)} does not take 1 and 0", "another point")


def _beats(register: Register) -> bool:
    """Whether the point takes what a heartbeat writes."""
    try:
        return all(coerce(register, beat) is not None for beat in (1, 0))
    except RequestError:
        return False


def _fingerprint(document_hash: str, links: Mapping[str, str]) -> str:
    lines = [document_hash, *(f"{path} {links[path]}" for path in sorted(links))]
    return sha256("\n".join(lines).encode())
