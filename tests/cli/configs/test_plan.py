"""What a push would change, and in which order."""

from __future__ import annotations

from gateway.cli.configs.plan import MAX_LINES, as_json, messages, plan, shown
from gateway.topics import Topics

TOPICS = Topics("", "site")
BEFORE = {"devices/C/B/D": b"old\nline", "devices/C/B/gone": b"x", "r.csv": b"1", "z.csv": b"1"}
AFTER = {"devices/C/B/D": b"new\nline", "devices/C/B/E": b"y", "r.csv": b"1", "s.csv": b"2"}


def test_documents_come_before_their_devices_and_go_after_them() -> None:
    """So that no device is judged without its registry."""
    assert list(messages(plan(BEFORE, AFTER, prune=True), TOPICS)) == [
        ("site/config/s.csv", b"2"),
        ("site/config/devices/C/B/E", b"y"),
        ("site/config/devices/C/B/D", b"new\nline"),
        ("site/config/devices/C/B/gone", b""),
        ("site/config/z.csv", b""),
    ]


def test_nothing_is_removed_unless_asked_for() -> None:
    """Without prune what the directory lacks stays."""
    assert plan(BEFORE, AFTER, prune=False).removed == ()
    assert b"" not in dict(messages(plan(BEFORE, AFTER, prune=False), TOPICS)).values()


def test_each_change_is_shown() -> None:
    """New, changed with its lines, removed; and how many stay the same."""
    wanted = plan(BEFORE, AFTER, prune=True)
    assert list(shown(wanted, TOPICS)) == [
        "+ site/config/devices/C/B/E",
        "+ site/config/s.csv",
        "~ site/config/devices/C/B/D",
        "    @@ -1,2 +1,2 @@",
        "    -old",
        "    +new",
        "     line",
        "- site/config/devices/C/B/gone",
        "- site/config/z.csv",
        "2 new, 1 changed, 2 to remove, 1 the same",
    ]
    assert as_json(wanted, TOPICS)["removed"] == ["site/config/devices/C/B/gone", "site/config/z.csv"]


def test_long_differences_are_cut() -> None:
    """Of a document that is another one altogether some lines are shown, and how many there are."""
    lines = "\n".join(map(str, range(1000))).encode()
    told = list(shown(plan({"a": lines}, {"a": lines.replace(b"\n", b"x\n")}, prune=False), TOPICS))
    assert len(told) == MAX_LINES + 3
    assert told[-2].strip().startswith("... 19")
