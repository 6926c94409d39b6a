"""Secrets that a ``driver_config`` names: ``{"secret": "device.<name>"}`` stands for the text of a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gateway.masking import conceal
from gateway.store.documents import Table
from gateway.store.faults import Faults
from gateway.values import shown

MAX_BYTES = 64 * 1024

_NAME = re.compile(r"device\.[A-Za-z0-9_.-]{1,200}")


class Credentials:
    """The secrets in the credentials directory, as far as devices may see them.

    A text that was given out is told to ``faults`` first, so that no message shows it. ``broken`` are the keys of the
    ``driver_config`` whose secret could not be had. ``elsewhere``: where there is no directory, that is no fault.
    """

    def __init__(self, directory: Path | None, faults: Faults, elsewhere: bool = False) -> None:
        self.broken: set[str] = set()
        self._directory = directory
        self._faults = faults
        self._elsewhere = elsewhere

    def reveal(self, config: dict[str, Any]) -> dict[str, Any]:
        """The ``driver_config`` with its secrets in place, and its tables as lists of objects."""
        return {key: self._value(value, key) for key, value in config.items()}

    def _value(self, value: Any, key: str) -> Any:
        if isinstance(value, Table):
            return value.records()
        if isinstance(value, list):
            return [self._value(inner, key) for inner in value]
        if not isinstance(value, dict):
            return value
        if set(value) != {"secret"}:
            return {inner: self._value(held, key) for inner, held in value.items()}
        text = self._read(value["secret"], f"driver_config.{key}")
        if text:
            self._faults.secrets.append(text)
            conceal(text)
        else:
            self.broken.add(key)
        return text

    def _read(self, secret: object, where: str) -> str:
        """The text of a secret; "" and a fault if it can not be had."""
        if not isinstance(secret, str) or not _NAME.fullmatch(secret):
            self._faults.error(
                where, f"{shown(secret)} may not be used: a device's secret has a name that begins with device."
            )
            return ""
        if self._directory is None and self._elsewhere:
            self._faults.warn(where, f'the secret "{secret}" is not at hand, so the gateway alone can judge the whole')
            return ""
        if self._directory is None:
            self._faults.error(where, f'there is no secret "{secret}", as credentials_dir is not set')
            return ""
        try:
            with (self._directory / secret).open("rb") as file:
                text = file.read(MAX_BYTES).decode().strip()
        except FileNotFoundError:
            self._faults.error(where, f'there is no secret "{secret}" in the credentials directory')
            return ""
        except (OSError, UnicodeDecodeError):
            self._faults.error(where, f'the secret "{secret}" can not be read as text')
            return ""
        if not text:
            self._faults.error(where, f'the secret "{secret}" is empty')
        return text
