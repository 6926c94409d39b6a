"""Which gateway runs a device, and which of two processes with one id; pure.

MQTT has no compare-and-set: a claim is a retained status that names us, and claims meet on the broker. The rules make both
sides of a meeting come to the same end.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

SETTLING = 1.0
"""Seconds after a claim during which another one may still come to light. Then the status is read again, and nothing is
written before it was found to name us still."""

RELEASED = "released"
"""User property of a status that is not retained: the last word of a gateway, which has let go of the device."""
HANDED_OVER_WITHIN = 11.0
"""Seconds that the new gateway of a device waits for the old one to say that it has let go: a little longer than that may
take to give back what it has written. An old one that is not there says nothing."""


class Standing(Enum):
    """What a device is to us."""

    OURS = "ours"
    FREE = "free"
    OTHER = "other"


def standing(us: str, configured: str | None, named: str | None, adopt: Collection[str]) -> Standing:
    """Whose a device is: its config key ``gateway`` decides, else the id that its retained status names.

    FREE is to be claimed: nobody is named, or one whose devices we adopt.
    """
    if configured is not None:
        return Standing.OURS if configured == us else Standing.OTHER
    if named is None or (named != us and named in adopt):
        return Standing.FREE
    return Standing.OURS if named == us else Standing.OTHER


def yields(
    us: str,
    other: str,
    configured: str | None,
    our_adopted: str | None,
    adopted_from: str | None,
    ours_new: bool = False,
    theirs_new: bool = False,
) -> bool:
    """Whether we give a device that we run to the other gateway whose claim we see.

    ``our_adopted`` and ``adopted_from`` are the ids that our claim and the other's say they adopt the device from: both
    sides know these two, so that they come to the same end. A claim that is new gives way to one that has settled: that
    gateway may have written already, or may serve what we have heard too. Of two claims alike the smaller id stays.
    """
    if configured is not None:
        return configured != us
    if (adopted_from == us) != (our_adopted == other):
        return adopted_from == us
    if ours_new != theirs_new:
        return ours_new
    return other < us


def displaced(us: tuple[str, str], seen: dict[str, object]) -> bool:
    """Whether the gateway status ``seen`` is that of another process with our id that began after us.

    ``us`` is our (started, instance); times in RFC 3339 UTC with microseconds compare as text.
    """
    started, instance = seen.get("started"), seen.get("instance")
    if seen.get("state") != "online" or not isinstance(started, str) or not isinstance(instance, str):
        return False
    return instance != us[1] and (started, instance) > us
