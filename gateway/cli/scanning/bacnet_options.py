"""What ``gateway scan bacnet`` takes from the command line: the local address, whom to ask."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gateway.allow import Allow
from gateway.app import bacnet_options
from gateway.cli.scanning.options import BadOption
from gateway.clock import SystemClock
from gateway.interfaces._bacnet.config import MOST_DEVICE, BacnetConfig, ip_of
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces._bacnet.values import Local
from gateway.settings import SettingsError, load
from gateway.settings_types import HostAndPort, LocalAddress


def networks(settings: Path | None, local: str | None, bbmd: str | None) -> BacnetNetworks:
    """The networks of the settings, with what the command line says laid over them. Raises BadOption."""
    if find_spec("BAC0") is None:
        raise BadOption('BACnet needs more packages: install the gateway with its extra "bacnet"')
    options = _of_settings(settings) if settings else Options()
    if local is not None:
        address, _, port = _fits(local, LocalAddress, "--local").partition(":")
        options = options.at(Local(address, int(port) if port else None))
    if bbmd is not None:
        options = options.at(Local(bbmd=_fits(bbmd, HostAndPort, "--bbmd")))
    if options.address is None:
        raise BadOption("say which address of this machine to use: --local 192.168.1.10/24, or bacnet.address in --settings")
    return BacnetNetworks(options, SystemClock())


def _of_settings(path: Path) -> Options:
    try:
        return bacnet_options(load(path, environ=os.environ))
    except SettingsError as error:
        raise BadOption(str(error)) from None


def _fits(text: str, kind: Any, option: str) -> str:
    try:
        return str(TypeAdapter(kind).validate_python(text))
    except ValidationError as error:
        raise BadOption(f"{option}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


def search_range(text: str | None) -> tuple[int | None, int | None]:
    """The first and last id of ``A-B`` or ``A``; two None for all. Raises BadOption."""
    if text is None:
        return None, None
    first, dash, last = text.partition("-")
    try:
        low, high = int(first), int(last if dash else first)
    except ValueError:
        low, high = 1, 0
    if not 0 <= low <= high <= MOST_DEVICE:
        raise BadOption(f'--devices "{text}": write ids from 0 to {MOST_DEVICE}, as in 1000-1999')
    return low, high


def checked(address: str | None, allow: Allow) -> str | None:
    """The address of a device, if it is one and may be asked. Raises BadOption."""
    if address is None:
        return None
    try:
        BacnetConfig(device_address=address)
    except ValidationError as error:
        raise BadOption(f"--address: {error.errors()[0]['msg']}") from None
    ip = ip_of(address)
    if ip is not None and not allow.address(ip):
        raise BadOption(f"--address: {ip} is in no network of the setting allow.networks")
    return address
