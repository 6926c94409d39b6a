from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.topics import (
    MAX_TOPIC_BYTES,
    Topics,
    is_topic,
    matches,
    overlap,
    path_fault,
    scope_fault,
    topic_point,
)

PLAIN = Topics("edge-1")
PREFIXED = Topics("edge-1", "plant/north")

LEVELS = st.sampled_from(["a", "b", "edge-1"])
PATHS = st.lists(LEVELS, min_size=3, max_size=8).map("/".join)
FILTERS = st.lists(st.sampled_from(["a", "b", "+"]), max_size=4).flatmap(
    lambda levels: st.sampled_from(["/".join([*levels, "#"]), "/".join(levels) or "a"])
)
SCOPES = FILTERS.filter(lambda entry: scope_fault(entry) is None)


@pytest.mark.parametrize(
    ("made", "topic"),
    [
        (PLAIN.device_config("C/B/D"), "config/devices/C/B/D"),
        (PLAIN.document("registry/meter.csv"), "config/registry/meter.csv"),
        (PLAIN.all("C/B/D"), "devices/C/B/D/all"),
        (PLAIN.replay("C/B/D"), "devices/C/B/D/replay"),
        (PLAIN.status("C/B/D"), "devices/C/B/D/status"),
        (PLAIN.meta("C/B/D"), "devices/C/B/D/meta"),
        (PLAIN.ask("alice", "get_point", ["C", "B", "D", "p"]), "rpc/alice/get_point/C/B/D/p"),
        (PREFIXED.ask("alice", "ping", ()), "plant/north/rpc/alice/ping"),
        (PLAIN.point("C/B/D", "Fan/Speed"), "devices/C/B/D/Fan/Speed"),
        (PLAIN.gateway_status(), "gateways/edge-1/status"),
        (PLAIN.gateway_status("edge-2"), "gateways/edge-2/status"),
        (PLAIN.gateway_stats(), "gateways/edge-1/stats"),
        (PLAIN.sentinel(), "gateways/edge-1/replay"),
        (PLAIN.lease("C/B/D"), "actuator/leases/C/B/D"),
        (PLAIN.default_reply("alice", "get_point", ("C", "B", "D", "kW")), "replies/alice/get_point/C/B/D/kW"),
        (PREFIXED.status("C/B/D"), "plant/north/devices/C/B/D/status"),
        (PREFIXED.gateway_status(), "plant/north/gateways/edge-1/status"),
    ],
)
def test_topics_are_those_of_the_contract(made: str, topic: str) -> None:
    """Each thing stands where the public contract says, below the prefix."""
    assert made == topic


@given(path=PATHS, topics=st.sampled_from([PLAIN, PREFIXED]))
def test_paths_are_found_in_their_topics(path: str, topics: Topics) -> None:
    """What was put below config/ and devices/ is read from the topic again."""
    assert topics.config_path(topics.device_config(path)) == f"devices/{path}"
    assert topics.config_path(topics.document(path)) == path
    assert topics.device_path(topics.status(path)) == f"{path}/status"


@pytest.mark.parametrize("topic", ["config", "configs/x", "x/config/a", "config/devices/C/B/D", ""])
def test_other_topics_have_no_path(topic: str) -> None:
    """A topic elsewhere, or without the prefix, is none of ours."""
    assert PREFIXED.config_path(topic) is None
    assert PLAIN.device_path(topic) is None


@pytest.mark.parametrize(
    ("topic", "parts"),
    [
        ("rpc/alice/ping", ("alice", "ping", ())),
        ("rpc/alice/ping/edge-1", ("alice", "ping", ("edge-1",))),
        ("rpc/alice/get_point/C/B/D/Fan/Speed", ("alice", "get_point", ("C", "B", "D", "Fan", "Speed"))),
        ("rpc/alice", None),
        ("rpc/alice/", ("alice", "", ())),
        ("rpc/alice//C/B/D", ("alice", "", ("C", "B", "D"))),
        ("rpc//ping", None),
        ("rpc", None),
        ("devices/alice/ping", None),
    ],
)
def test_request_is_read_from_its_topic(topic: str, parts: object) -> None:
    """Requester and method are the first levels, the rest is the target; a method may be empty, to be told so."""
    assert PLAIN.request(topic) == parts
    assert PREFIXED.request("plant/north/" + topic) == parts
    assert PREFIXED.request(topic) is None


@pytest.mark.parametrize("topic", ["replies/alice", "replies/alice/1", "replies/alice/a/b"])
def test_own_replies_are_always_permitted(topic: str) -> None:
    """An answer may go to the requester's own topics."""
    assert PLAIN.may_reply("alice", topic, anywhere=False)
    assert PREFIXED.may_reply("alice", "plant/north/" + topic, anywhere=False)


@pytest.mark.parametrize(
    "topic", ["replies/bob", "replies/alice2", "replies", "x", "replies/alice/#", "replies/alice/+", "replies/alice/\n", ""]
)
def test_other_topics_are_no_place_for_answers(topic: str) -> None:
    """Nobody can have an answer published in another's name, or where no topic is."""
    assert not PLAIN.may_reply("alice", topic, anywhere=False)


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        ("x/y", True),
        ("replies/bob", True),
        ("configs/x", True),
        ("config/devices/C/B/D", False),
        ("devices/C/B/D/all", False),
        ("rpc/ops/set_point", False),
        ("actuator/overrides/edge-1", False),
        ("gateways/edge-1/status", False),
        ("config", False),
        ("$SYS/x", False),
        ("a" * (MAX_TOPIC_BYTES + 1), False),
    ],
)
def test_reply_topics_any_keeps_out_of_our_own(topic: str, allowed: bool) -> None:
    """With ``reply_topics: any`` an answer may go anywhere but where it would be a command or a reading."""
    assert PLAIN.may_reply("alice", topic, anywhere=True) is allowed
    assert PREFIXED.may_reply("alice", topic, anywhere=True) is allowed
    if topic[0] not in "$a":
        assert PREFIXED.may_reply("alice", "plant/north/" + topic, anywhere=True) is allowed


@pytest.mark.parametrize("path", ["C/B/D", "a/b/c/d/e/f/g/h", "Campus 1/Gebäude/Ü-1", "a/b/c$"])
def test_device_paths_have_three_to_eight_plain_levels(path: str) -> None:
    """Printable levels, three to eight of them, make a device path."""
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("C/B", "3 to 8 levels"),
        ("a/b/c/d/e/f/g/h/i", "this one 9"),
        ("C//D", "empty"),
        ("/C/B/D", "empty"),
        ("C/B/D/", "empty"),
        ("C/$B/D", r"begins with \$"),
        ("C/B/D+", "holds"),
        ("C/#/D", "holds"),
        ("C/B/D\n", "unprintable"),
        ("C/B/\x00", "unprintable"),
    ],
)
def test_bad_device_path_is_told_why(path: str, words: str) -> None:
    """A path that can not be one is refused with the reason."""
    fault = path_fault(path)
    assert fault is not None
    with pytest.raises(ValueError, match=words):
        raise ValueError(fault)


@pytest.mark.parametrize(
    ("entry", "good"),
    [
        ("#", True),
        ("+/B/#", True),
        ("C/B/D", True),
        ("+/+/+", True),
        ("a/b/c/d/e/f/g/h/#", True),
        ("C/B", False),
        ("+", False),
        ("C/#/D", False),
        ("C//#", False),
        ("", False),
        ("C/B+/#", False),
        ("C/B#", False),
        ("a/b/c/d/e/f/g/h/i/#", False),
    ],
)
def test_scope_entries_are_filters_on_device_paths(entry: str, good: bool) -> None:
    """A scope entry is a topic filter that can match device paths."""
    assert (scope_fault(entry) is None) is good


@pytest.mark.parametrize(
    ("entry", "topic", "matching"),
    [
        ("#", "a", True),
        ("#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("+", "a", True),
        ("+", "a/b", False),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("+/+", "/a", True),
        ("a", "A", False),
    ],
)
def test_filters_match_as_mqtt_says(entry: str, topic: str, matching: bool) -> None:
    """``+`` stands for one level, ``#`` for any number and for none (MQTT 5.0, 4.7.1)."""
    assert matches(entry, topic) is matching


SAMPLES = ["/".join(levels) for count in range(1, 6) for levels in product("abc", repeat=count)]
"""All topics of up to five levels; c stands for a level that no filter names."""


@given(one=FILTERS, other=FILTERS)
def test_filters_overlap_if_a_topic_matches_both(one: str, other: str) -> None:
    """``overlap`` says what trying every topic says."""
    assert overlap(one, other) == any(matches(one, topic) and matches(other, topic) for topic in SAMPLES)


@given(scope=st.lists(SCOPES, min_size=1, max_size=3), path=PATHS)
def test_device_in_scope_is_heard(scope: list[str], path: str) -> None:
    """Each filter kind catches the topics of the devices in the scope, and of no other."""
    inside = any(matches(entry, path) for entry in scope)
    assert any(matches(entry, PREFIXED.device_config(path)) for entry in PREFIXED.config_filters(scope)) is inside
    assert any(matches(entry, PREFIXED.status(path)) for entry in PREFIXED.status_filters(scope)) is inside
    if inside:
        assert any(matches(entry, PREFIXED.point(path, "p/q")) for entry in PREFIXED.device_filters([f"{path}/#"]))
        assert any(matches(e, f"plant/north/rpc/u/get_point/{path}/p/q") for e in PREFIXED.request_filters(scope))


@given(entry=SCOPES | SCOPES.map(lambda entry: entry.replace("a", "edge-1")), target=st.lists(LEVELS, max_size=8))
@example(entry="+/#", target=["edge-1"])
@example(entry="edge-1/#", target=["edge-1"])
def test_no_request_comes_twice(entry: str, target: list[str]) -> None:
    """At most one of our filters matches a request, so that the broker never hands it over twice."""
    topic = "/".join(["rpc", "u", "m", *target])
    hits = [found for found in PLAIN.request_filters([entry]) if matches(found, topic)]
    wanted = not target or target == ["edge-1"] or matches(entry.removesuffix("/#") + "/#", "/".join(target))
    assert len(hits) == wanted


@given(point=st.text(st.characters(codec="utf-8")) | st.sampled_from(["Fan/Speed", "a+b", "a#", "/a", "a//b", "ok"]))
def test_point_with_a_topic_makes_a_topic(point: str) -> None:
    """A point name that may stand in a topic gives one without wildcards and empty levels; others are in payloads only."""
    if topic_point(point):
        assert is_topic(PLAIN.point("C/B/D", point)) or len(point) > 200
        assert "" not in point.split("/")
    else:
        assert not is_topic(point) or "" in point.split("/")


@pytest.mark.parametrize(
    ("topic", "good"),
    [
        ("a", True),
        ("a//b", True),
        ("a/$b", True),
        ("", False),
        ("$SYS", False),
        ("a+", False),
        ("a/#", False),
        ("a\x7f", False),
        ("ü" * 512, True),
        ("ü" * 513, False),
    ],
)
def test_topic_to_publish_on(topic: str, good: bool) -> None:
    """A topic that we publish on is printable, has no wildcard or leading $, and at most 1024 bytes."""
    assert is_topic(topic) is good


@pytest.mark.parametrize("prefix", ["", "site"])
@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        (lambda t: t.status("C/B/D"), "devices/status"),
        (lambda t: t.all("C/B/D/E"), "devices/all"),
        (lambda t: t.point("C/B/D", "kW"), "devices/<point>"),
        (lambda t: t.lease("C/B/D"), "actuator/leases"),
        (lambda t: t.event(""), "actuator/events"),
        (lambda t: t.overrides(), "actuator/overrides"),
        (lambda t: t.gateway_stats(), "gateways"),
        (lambda t: t.loss("ops"), "replies"),
        (lambda t: "elsewhere/x", "replies"),
    ],
)
def test_each_topic_is_of_a_kind(prefix: str, topic: Callable[[Topics], str], kind: str) -> None:
    """As many as an ACL has lines for us."""
    topics = Topics("edge-1", prefix)
    assert topics.kind(topic(topics)) == kind
