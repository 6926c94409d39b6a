"""The patterns that lines are matched with: regular expressions of RE2, which take linear time whatever is written in them.

They have no back references and no look-around. A pattern's program is at most ``_MEMORY`` bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from gateway.errors import ConfigFault

MAX_PATTERN = 500
_MEMORY = 1 << 20


def need_re2() -> None:
    """ConfigFault if the package for patterns is not installed."""
    try:
        import re2  # noqa: F401
    except ImportError:
        raise ConfigFault("instruments need the package google-re2: install gateway[instruments]") from None


def pattern_of(pattern: str) -> Any:
    """The pattern, ready to match. Raises ConfigFault for a bad one."""
    import re2

    if len(pattern) > MAX_PATTERN:
        raise ConfigFault(f"longer than {MAX_PATTERN} characters", "Pattern")
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ConfigFault(f"not a pattern of RE2: {_words(error)}", "Pattern") from None


compiled = lru_cache(maxsize=4096)(pattern_of)
"""The same, kept: many devices have the same patterns."""


def escaped(text: str) -> str:
    """A pattern that only this text fits."""
    return "".join(char if char.isalnum() and char.isascii() else f"\\x{{{ord(char):x}}}" for char in text)


def group_number(pattern: str, group: str) -> int:
    """The number of the group that holds the value: by number or name; if blank the only one, or all without any.

    Raises ConfigFault.
    """
    made = compiled(pattern)
    if not group:
        if made.groups > 1:
            raise ConfigFault(f"the pattern has {made.groups} groups: say which one, or write (?:...) for others", "Group")
        return int(made.groups)
    number = int(group) if group.isascii() and group.isdigit() else made.groupindex.get(group)
    if number is None or number > made.groups:
        known = ", ".join([*map(str, range(1, made.groups + 1)), *made.groupindex]) or "none"
        raise ConfigFault(f"the pattern has no group {group}; it has {known}", "Group")
    return int(number)


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else error
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
