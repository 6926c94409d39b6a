"""What is asked of the broker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter and how it is subscribed (MQTT 5.0, 3.8.3.1); ``replay`` asks for the retained messages too."""

    filter: str
    qos: int = 1
    replay: bool = True
    as_published: bool = False
    no_local: bool = False
