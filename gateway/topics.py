"""The only module that knows topic strings; pure.

``Topics`` builds and reads the topics of one gateway, below its optional prefix. A device path is ``C/B/D``: three to eight
levels, each non-empty, printable, without ``+ # /`` and not beginning with ``$``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MIN_LEVELS, MAX_LEVELS = 3, 8
MAX_TOPIC_BYTES = 1024
LEAVES = ("all", "replay", "status", "meta")
"""The last levels below a device that a point topic may not take."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of the gateway with this id, below this prefix; ``json_rpc``: requests may come on the bare topic too."""

    gateway_id: str
    prefix: str = ""
    json_rpc: bool = False

    def _at(self, *levels: str) -> str:
        return "/".join((self.prefix, *levels) if self.prefix else levels)

    def _below(self, root: str, topic: str) -> str | None:
        head = self._at(root) + "/"
        return topic[len(head) :] if topic.startswith(head) else None

    def device_config(self, path: str) -> str:
        """Where the configuration of a device is."""
        return self._at("config", "devices", path)

    def document(self, path: str) -> str:
        """Where a document that is linked to as ``config://<path>`` is."""
        return self._at("config", path)

    def every_document(self) -> str:
        """The filter on all configurations, of devices and others."""
        return self._at("config", "#")

    def config_path(self, topic: str) -> str | None:
        """The path below ``config/`` of a topic, such as ``devices/C/B/D``; None if it is not there."""
        return self._below("config", topic)

    def configured_device(self, config_path: str) -> str | None:
        """The device that a path below ``config/`` configures; None if it is that of a document."""
        root = "devices/"
        return config_path.removeprefix(root) if config_path.startswith(root) else None

    def all(self, path: str) -> str:
        """Where readings go."""
        return self._at("devices", path, "all")

    def replay(self, path: str) -> str:
        """Where readings from the outage buffer go."""
        return self._at("devices", path, "replay")

    def status(self, path: str) -> str:
        """Where a device's status is."""
        return self._at("devices", path, "status")

    def meta(self, path: str) -> str:
        """Where a device's points are described."""
        return self._at("devices", path, "meta")

    def point(self, path: str, point: str) -> str:
        """Where one point's plain value goes."""
        return self._at("devices", path, point)

    def device_path(self, topic: str) -> str | None:
        """What stands below ``devices/`` in a topic: a device path and a leaf or point; None if it is not there."""
        return self._below("devices", topic)

    def gateway_status(self, gateway_id: str | None = None) -> str:
        """Where a gateway says whether it is online; ours if no id is given."""
        return self._at("gateways", gateway_id or self.gateway_id, "status")

    def gateway_stats(self) -> str:
        """Where our counters are."""
        return self._at("gateways", self.gateway_id, "stats")

    def sentinel(self) -> str:
        """The own topic whose message marks the end of a replay of retained messages."""
        return self._at("gateways", self.gateway_id, "replay")

    def kind(self, topic: str) -> str:
        """What a topic that we publish on is for, such as ``devices/status``: an ACL has one line for each kind."""
        first, *rest = topic.removeprefix(self._at("")).split("/")
        if first == "devices":
            return f"devices/{rest[-1] if rest and rest[-1] in LEAVES else '<point>'}"
        if first == "actuator":
            return "/".join((first, *rest[:1]))
        return first if first == "gateways" else "replies"  # these may go anywhere

    def lease(self, path: str) -> str:
        """Where the holder of a device is told."""
        return self._at("actuator", "leases", path)

    def event(self, path: str) -> str:
        """Where what was written, refused and given back is told; with no path, what concerns no single device."""
        return self._at("actuator", "events", path or self.gateway_id)

    def overrides(self) -> str:
        """Where our override patterns are."""
        return self._at("actuator", "overrides", self.gateway_id)

    def loss(self, holder: str) -> str:
        """Where the holder of a lease is told that it has lost it."""
        return self._at("replies", holder, "leases")

    def lease_filters(self, scope: Iterable[str]) -> list[str]:
        """Filters on the leases of the devices in a scope."""
        return [self._at("actuator", "leases", entry) for entry in scope]

    def leased_device(self, topic: str) -> str | None:
        """The device of a lease topic; None if it is none."""
        return self._below("actuator/leases", topic)

    def config_filters(self, scope: Iterable[str]) -> list[str]:
        """Filters on the device configurations in a scope."""
        return [self._at("config", "devices", entry) for entry in scope]

    def device_filters(self, scope: Iterable[str]) -> list[str]:
        """Filters on everything that is published for the devices in a scope."""
        return [self._at("devices", entry) for entry in scope]

    def status_filters(self, scope: Iterable[str]) -> list[str]:
        """Filters on the statuses of the devices in a scope."""
        return self.leaf_filters(scope, "status")

    def leaf_filters(self, scope: Iterable[str], leaf: str) -> list[str]:
        """Filters on one of LEAVES of the devices in a scope."""
        return [self._at("devices", entry, leaf) for top in scope for entry in _depths(top)]

    def request_filters(self, scope: Iterable[str]) -> list[str]:
        """Filters on the requests that concern us; no topic matches two of them, unless entries of the scope overlap."""
        bare = [self._at("rpc", "+")] if self.json_rpc else []
        return bare + self._topic_requests(list(scope))

    def _topic_requests(self, entries: list[str]) -> list[str]:
        if "#" in entries:
            return [self._at("rpc", "+", "+", "#")]
        below = [self._at("rpc", "+", "+", entry) for entry in _whole_devices(entries)]
        if any(matches(entry, self.gateway_id) for entry in entries):  # such as +/#
            return [self._at("rpc", "+", "+"), *below]
        return [self._at("rpc", "+", "+"), self._at("rpc", "+", "+", self.gateway_id), *below]

    def ask(self, requester: str, method: str, target: Iterable[str]) -> str:
        """Where a request is sent: ``target`` is what stands after the method."""
        return self._at("rpc", requester, method, *target)

    def request(self, topic: str) -> tuple[str, str, tuple[str, ...]] | None:
        """Requester, method (maybe empty) and what stands after them of a request topic; None if it is no such topic."""
        rest = self._below("rpc", topic)
        levels = rest.split("/") if rest else []
        if len(levels) < 2 or not levels[0]:
            return None
        return levels[0], levels[1], tuple(levels[2:])

    def bare_requester(self, topic: str) -> str | None:
        """The requester of the topic of JSON-RPC requests; None if it is no such topic, or they are not served."""
        rest = self._below("rpc", topic) if self.json_rpc else None
        return rest if rest and "/" not in rest else None

    def requester(self, topic: str) -> str | None:
        """Who asks, on a request topic of either kind; None if it is none."""
        request = self.request(topic)
        return request[0] if request else self.bare_requester(topic)

    def replies(self, requester: str) -> str:
        """Where a requester is answered: there or below."""
        return self._at("replies", requester)

    def default_reply(self, requester: str, method: str, target: Iterable[str]) -> str:
        """Where a topic-form request without a ResponseTopic is answered."""
        return self._at("replies", requester, method, *target)

    def may_reply(self, requester: str, topic: str, anywhere: bool) -> bool:
        """Whether an answer for this requester may go to this ResponseTopic (setting ``reply_topics``)."""
        if not is_topic(topic):
            return False
        own = self.replies(requester)
        if topic == own or topic.startswith(own + "/"):
            return True
        roots = ("config", "devices", "rpc", "actuator", "gateways")
        forbidden = (*roots, *(self._at(root) for root in roots))
        return anywhere and not any(topic == root or topic.startswith(root + "/") for root in forbidden)


def is_topic(topic: str) -> bool:
    """Whether a message may be published there by us: no wildcards, not beginning with ``$``, printable, not too long."""
    return bool(topic) and _plain(topic) and not topic.startswith("$") and len(topic.encode()) <= MAX_TOPIC_BYTES


def path_fault(path: str) -> str | None:
    """What is wrong with a device path, or None."""
    levels = path.split("/")
    if not MIN_LEVELS <= len(levels) <= MAX_LEVELS:
        return f"a device path has {MIN_LEVELS} to {MAX_LEVELS} levels (campus/building/device), this one {len(levels)}"
    for level in levels:
        if not level:
            return "a level of the device path is empty"
        if level.startswith("$"):
            return f'the level "{level}" begins with $'
        if not _plain(level):
            return "a level of the device path holds +, # or an unprintable character"
    return None


def scope_fault(entry: str) -> str | None:
    """What is wrong with a scope entry (a filter on device paths), or None."""
    levels = entry.split("/")
    if not all(levels) or "#" in levels[:-1] or len(levels) > MAX_LEVELS + 1:
        return "is not a topic filter: levels are not empty, # stands last"
    if any(level not in ("+", "#") and not _plain(level) for level in levels):
        return "has a level that mixes + or # with text"
    if levels[-1] != "#" and len(levels) < MIN_LEVELS:
        return f"names no device: a device path has {MIN_LEVELS} levels or more; end it with /#"
    return None


def matches(entry: str, topic: str) -> bool:
    """Whether a topic filter matches a topic (MQTT 5.0, 4.7); ``$`` topics are not looked at specially."""
    pattern, levels = entry.split("/"), topic.split("/")
    for index, wanted in enumerate(pattern):
        if wanted == "#":
            return True
        if index >= len(levels) or wanted not in ("+", levels[index]):
            return False
    return len(pattern) == len(levels)


def overlap(one: str, other: str) -> bool:
    """Whether some topic matches both filters."""
    for left, right in zip(one.split("/"), other.split("/"), strict=False):
        if "#" in (left, right):
            return True
        if "+" not in (left, right) and left != right:
            return False
    longer = max(one.split("/"), other.split("/"), key=len)
    shorter = min(one.count("/"), other.count("/")) + 1
    return len(longer) == shorter or longer[shorter:] == ["#"]


def topic_point(point: str) -> bool:
    """Whether a point's name can stand in a topic."""
    return _plain(point) and all(point.split("/"))


def _plain(text: str) -> bool:
    return not any(c in "+#" for c in text) and text.isprintable()


def _whole_devices(scope: list[str]) -> list[str]:
    """Scope entries with all that lies below them, as points do; an entry that another one covers is left out."""
    bases = list(dict.fromkeys(entry.removesuffix("/#") for entry in scope))
    return [f"{b}/#" for i, b in enumerate(bases) if not any(i != j and matches(f"{o}/#", b) for j, o in enumerate(bases))]


def _depths(entry: str) -> list[str]:
    """A scope entry as filters without ``#``, one for each depth that a device path may have."""
    levels = entry.split("/")
    if levels[-1] != "#":
        return [entry]
    fixed = levels[:-1]
    return ["/".join(fixed + ["+"] * (n - len(fixed))) for n in range(max(MIN_LEVELS, len(fixed)), MAX_LEVELS + 1)]
