"""VOLTTRON's schedule cases: owner A and owner B, HIGH unless said, it is 11:30 at first and the grace is 60 s."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import LeasedByOther
from tests.actuator.book import D1, D2, D3, DAY, Book, at, triple


def test_a1_slot_is_in_force_from_its_start_until_just_before_its_end() -> None:
    """A slot from 12:00 to 13:00 is no lease before, has the rest of its hour within, and is none at 13:00."""
    book = Book()
    outcome = book.schedule("Task1", "A", triple(D1, "12:00", "13:00"))
    assert outcome.answer() == {"result": "SUCCESS", "info": "", "data": {}}
    assert book.rules.next_change(book.now) - book.boot == at("12:00") - book.wall
    windows = []
    for moment in ("11:59:59", "12:00", "12:30", "12:59:59", "13:00"):
        book.go(moment)
        windows.append(book.window(D1))
    assert windows == [None, ("A", 3600), ("A", 1800), ("A", 1), None]


def test_a2_one_task_holds_several_devices() -> None:
    """The devices of one task are each held at their own times; slots that begin together share a fence."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"), triple(D2, "12:00", "12:30"))
    book.go("12:00")
    first, second = book.may(D1, "A"), book.may(D2, "A")
    assert first
    assert second
    assert first.fence == second.fence
    book.go("12:30")
    assert (book.window(D1), book.window(D2)) == (("A", 1800), None)


def test_a3_owners_of_different_devices_do_not_meet() -> None:
    """Two owners hold different devices at the same time."""
    book = Book()
    assert book.schedule("Task1", "A", triple(D1, "12:00", "13:00")).ok
    assert book.schedule("Task2", "B", triple(D2, "12:00", "13:00")).ok
    book.go("12:00")
    assert (book.window(D1), book.window(D2)) == (("A", 3600), ("B", 3600))


def test_a4_touching_slots_change_owner_at_the_boundary() -> None:
    """A slot may begin at the very end of another; the owner is another one at that instant, told in that order."""
    book = Book()
    assert book.schedule("Task1", "A", triple(D1, "12:00", "12:30")).ok
    assert book.schedule("Task2", "B", triple(D1, "12:30", "13:00")).ok
    book.go("12:29:59")
    assert book.window(D1) == ("A", 1)
    book.go("12:30")
    assert book.window(D1) == ("B", 1800)
    assert book.told() == [
        ("begun", "Task1", D1, "time"),
        ("ended", "Task1", D1, "time"),
        ("begun", "Task2", D1, "time"),
    ]


def test_a5_a_request_may_touch_but_not_overlap_itself() -> None:
    """Overlapping slots of one request on one device are refused; touching ones, and other devices, are not."""
    book = Book()
    outcome = book.schedule("Task1", "A", triple(D1, "12:00", "12:45"), triple(D1, "12:30", "13:00"))
    assert (outcome.ok, outcome.info, outcome.data) == (False, "REQUEST_CONFLICTS_WITH_SELF", {})
    assert book.schedule("Task1", "A", triple(D1, "12:00", "12:30"), triple(D1, "12:30", "13:00")).ok
    assert book.schedule("Task2", "A", triple(D2, "12:00", "12:45"), triple(D3, "12:30", "13:00")).ok


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([D1, "fdhkdfyug", "Twinkle, twinkle, little bat..."], 'ValueError: request 1: "fdhkdfyug" is no time: write it as'),
        ([D1, "2026-11-22T12:00:00Z"], "ValueError: request 1: write it as [device, start, end]"),
        ([1, "2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z"], "TypeError: request 1: 1 is no device path"),
        (["/", "2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z"], 'TypeError: request 1: "/" is no device path'),
        ([D1, 1795347000, "2026-11-22T13:00:00Z"], "TypeError: request 1: 1795347000 is no time"),
        (triple(D1, "13:00", "12:00"), f"ValueError: {D1}: the end lies before the start"),
        ("text", "ValueError: request 1: write it as [device, start, end]"),
        ([D1, "2026-11-22T12:00:00", "2026-11-22T13:00:00Z"], "has no time zone: add Z for UTC, or an offset"),
        ([D1, "0001-01-01T00:00:00+01:00", "2026-11-22T13:00:00Z"], "is outside of the years 1 to 9999"),
    ],
)
def test_a6_what_can_not_be_understood_is_malformed(row: Any, words: str) -> None:
    """The refusal begins with MALFORMED_REQUEST and the kind of the fault, and says how to mend it."""
    outcome = Book().schedule("Task1", "A", [row] if isinstance(row, str) else row)
    assert not outcome.ok
    assert outcome.info.startswith("MALFORMED_REQUEST: ")
    assert words in outcome.info


@pytest.mark.parametrize("requests", [[], None])
def test_a6_no_slots_at_all_are_refused(requests: Any) -> None:
    """A request for nothing says so."""
    book = Book()
    assert book.rules.request("Task1", "A", "HIGH", requests, book.now).info == "MALFORMED_REQUEST_EMPTY"


def test_a7_high_does_not_preempt_high() -> None:
    """Overlapping HIGH tasks conflict, and the refusal lists the slots that stand in the way, by owner and task."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"), triple(D1, "14:00", "15:00"), triple(D2, "12:00", "13:00"))
    outcome = book.schedule("Task2", "B", triple(D1, "12:15", "12:45"))
    assert (outcome.ok, outcome.info) == (False, "CONFLICTS_WITH_EXISTING_SCHEDULES")
    assert outcome.data == {"A": {"Task1": [triple(D1, "12:00", "13:00")]}}


def test_a8_high_preempts_low_that_has_not_started() -> None:
    """A LOW task before its start is lost as a whole, and its holder is told who pre-empted it."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"), triple(D2, "14:00", "15:00"), priority="LOW")
    outcome = book.schedule("Task2", "B", triple(D1, "12:15", "12:45"))
    assert (outcome.ok, outcome.info, outcome.data) == (True, "TASK_WERE_PREEMPTED", [["A", "Task1"]])
    (change,) = book.changes()
    assert (change.kind, change.task_id, change.holder, change.reason) == ("lost", "Task1", "A", "preempted")
    assert (change.by, change.by_task, change.at) == ("B", "Task2", book.wall)
    assert [task["task_id"] for task in book.rules.tasks(book.now)] == ["Task2"]
    book.go("12:00")
    assert book.window(D1) is None


def test_a9_high_does_not_preempt_low_that_has_started() -> None:
    """A LOW task whose first slot runs stays."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"), priority="LOW")
    book.go("12:10")
    outcome = book.schedule("Task2", "B", triple(D1, "12:15", "12:45"))
    assert (outcome.ok, outcome.data) == (False, {"A": {"Task1": [triple(D1, "12:00", "13:00")]}})
    assert book.window(D1) == ("A", 3000)


def test_a10_low_counts_as_started_in_the_gap_between_its_slots() -> None:
    """Between its slots a LOW task is not pre-empted either."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "12:15"), triple(D1, "12:45", "13:00"), priority="LOW")
    book.go("12:30")
    assert book.window(D1) is None
    assert book.schedule("Task2", "B", triple(D1, "12:40", "13:00")).info == "CONFLICTS_WITH_EXISTING_SCHEDULES"


@pytest.mark.parametrize("mine", ["LOW", "LOW_PREEMPT"])
@pytest.mark.parametrize("theirs", ["HIGH", "LOW", "LOW_PREEMPT"])
def test_a11_only_high_preempts(mine: str, theirs: str) -> None:
    """LOW and LOW_PREEMPT push nothing aside, not even what has not started."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"), priority=theirs)
    assert (
        book.schedule("Task2", "B", triple(D1, "12:00", "13:00"), priority=mine).info == "CONFLICTS_WITH_EXISTING_SCHEDULES"
    )


def test_a12_preempted_holder_keeps_the_device_for_the_grace() -> None:
    """LOW_PREEMPT that runs is pre-empted after 60 s: until then the new owner's writes are refused, then the old one's."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"), triple(D1, "14:00", "15:00"), priority="LOW_PREEMPT")
    book.go("12:15")
    book.changes()
    assert book.schedule("Task2", "B", triple(D1, "12:15", "13:00")).info == "TASK_WERE_PREEMPTED"
    assert book.lost() == [("Task1", "B", at("12:16"))]
    assert book.window(D1) == ("A", 60)
    book.go("12:15:30")
    assert book.window(D1) == ("A", 30)
    with pytest.raises(LeasedByOther, match="held by A") as refusal:
        book.may(D1, "B")
    assert refusal.value.data["until"] == "2026-11-22T12:16:00.000000Z"
    book.go("12:16")
    assert book.window(D1) == ("B", 44 * 60)
    with pytest.raises(LeasedByOther):
        book.may(D1, "A")
    assert book.told() == [("ended", "Task1", D1, "preempted"), ("begun", "Task2", D1, "time")]


def test_a12_grace_lengthens_no_slot() -> None:
    """A slot that ends within the grace ends at its time, and of itself."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "12:15:30"), priority="LOW_PREEMPT")
    book.go("12:15")
    book.schedule("Task2", "B", triple(D1, "12:15", "13:00"))
    assert book.lost() == [("Task1", "B", at("12:15:30"))]
    book.go("12:15:30")
    assert book.window(D1) == ("B", 44.5 * 60)
    assert book.told() == [("ended", "Task1", D1, "time"), ("begun", "Task2", D1, "time")]


def test_a13_preempted_on_one_device_loses_all_after_the_grace() -> None:
    """Pre-empted on a slot to come, a task loses all of those, and keeps every device that it holds for the grace."""
    book = Book()
    rows = [triple(D1, "12:00", "13:00"), triple(D2, "12:00", "12:15:30"), triple(D3, "14:00", "15:00")]
    book.schedule("Task1", "A", *rows, priority="LOW_PREEMPT")
    book.go("12:15")
    assert book.schedule("Task2", "B", triple(D3, "14:30", "15:30")).data == [["A", "Task1"]]
    assert (book.window(D1), book.window(D2)) == (("A", 60), ("A", 30))
    book.go("12:16")
    assert (book.window(D1), book.window(D2)) == (None, None)
    book.go("14:00")
    assert book.window(D3) is None
    assert book.schedule("Task1", "A", triple(D1, "16:00", "17:00")).ok


def test_a13_second_preemption_in_the_grace_takes_no_more() -> None:
    """Who is pre-empted again during the grace keeps the first end, and is told once."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"), priority="LOW_PREEMPT")
    book.go("12:15")
    book.schedule("Task2", "B", triple(D1, "12:20", "12:30"))
    book.go("12:15:40")
    assert book.schedule("Task3", "C", triple(D1, "12:15:50", "12:20")).info == "TASK_WERE_PREEMPTED"
    assert book.window(D1) == ("A", 20)
    assert book.lost() == [("Task1", "B", at("12:16"))]


def test_a14_owner_preempts_a_lower_task_of_its_own() -> None:
    """A HIGH task pushes aside the LOW one of the same holder."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"), priority="LOW")
    assert book.schedule("Task2", "A", triple(D1, "12:00", "13:00")).data == [["A", "Task1"]]


@pytest.mark.parametrize(
    ("task_id", "info"),
    [
        ("", "MALFORMED_REQUEST: TypeError: taskid must be a nonempty string"),
        (1234, "MALFORMED_REQUEST: TypeError: taskid must be a nonempty string"),
        (["x"], "MALFORMED_REQUEST: TypeError: taskid must be a nonempty string"),
        (None, "MISSING_TASK_ID"),
        ("Task1", "TASK_ID_ALREADY_EXISTS"),
    ],
)
def test_a15_task_ids_are_texts_that_no_task_has(task_id: Any, info: str) -> None:
    """An id that is missing, no text, empty or taken is refused in VOLTTRON's words."""
    book = Book()
    book.schedule("Task1", "B", triple(D2, "12:00", "13:00"))
    assert book.schedule(task_id, "A", triple(D1, "12:00", "13:00")).info == info


def test_a15_task_id_may_be_used_again_after_the_end() -> None:
    """When the last slot of a task is over, its id is free, for anybody."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"))
    book.go("13:00")
    assert book.schedule("Task1", "B", triple(D1, "14:00", "15:00")).ok


@pytest.mark.parametrize(
    ("priority", "info"),
    [(None, "MISSING_PRIORITY"), ("LOW2", "INVALID_PRIORITY"), ("high", "INVALID_PRIORITY"), (1, "INVALID_PRIORITY")],
)
def test_a16_priorities_have_exact_names(priority: Any, info: str) -> None:
    """A priority that is missing or has another name, or case, is refused."""
    assert Book().schedule("Task1", "A", triple(D1, "12:00", "13:00"), priority=priority).info == info


def test_high_is_for_those_who_may() -> None:
    """The setting actuator.high says by patterns who may ask for HIGH; others are told so."""
    book = Book(high=("ops-*",))
    assert book.schedule("Task1", "ops-1", triple(D1, "12:00", "13:00")).ok
    refused = book.schedule("Task2", "alice", triple(D2, "12:00", "13:00"))
    assert refused.info == "INVALID_PRIORITY: alice may not ask for HIGH (setting actuator.high)"
    assert book.schedule("Task2", "alice", triple(D2, "12:00", "13:00"), priority="LOW").ok


def test_a18_cancel_ends_the_task() -> None:
    """A task that is cancelled holds nothing any more; its holder is told if it held something."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"), triple(D2, "14:00", "15:00"))
    book.go("12:30")
    book.changes()
    assert book.rules.cancel("Task1", "A", book.now).answer() == {"result": "SUCCESS", "info": "", "data": {}}
    assert book.told() == [("lost", "Task1", "", "cancelled"), ("ended", "Task1", D1, "cancelled")]
    assert book.window(D1) is None
    assert book.rules.tasks(book.now) == []


def test_a18_cancel_before_the_start_tells_nobody() -> None:
    """Who cancels what has not begun loses no lease."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"))
    assert book.rules.cancel("Task1", "A", book.now).ok
    assert book.told() == []


@pytest.mark.parametrize(
    ("task_id", "info"),
    [("Task1", "AGENT_ID_TASK_ID_MISMATCH"), ("Task2", "TASK_ID_DOES_NOT_EXIST"), ([], "TASK_ID_DOES_NOT_EXIST")],
)
def test_a18_cancel_is_for_the_holder_of_a_task(task_id: Any, info: str) -> None:
    """A task that is not there, or somebody else's, is not cancelled."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"))
    outcome = book.rules.cancel(task_id, "B", book.now)
    assert (outcome.answer()["result"], outcome.info, outcome.data) == ("FAILURE", info, {})
    book.go("12:00")
    assert book.window(D1) == ("A", 3600)


def test_a19_begin_and_end_of_each_slot_come_out_once() -> None:
    """A slot of five seconds begins once and ends once, however often time is looked at."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:30:01", "11:30:06"))
    told = []
    for _ in range(100):
        book.forward(0.125)
        told += [(change.kind, change.at - at("11:30")) for change in book.changes()]
    assert told == [("begun", 1), ("ended", 6)]


# ---- the order of the checks, and what is ours


def test_checks_come_in_volttrons_order() -> None:
    """Of a request with many faults, each that is mended brings out the next."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"))
    overlap = [triple(D1, "12:00", "12:45"), triple(D1, "12:30", "13:00")]
    steps: list[tuple[Any, Any, Any, str]] = [
        ("Task1", None, [[D1, "x", "y"]], "MALFORMED_REQUEST: ValueError"),
        ("Task1", None, [], "TASK_ID_ALREADY_EXISTS"),
        (None, None, [], "MISSING_TASK_ID"),
        ("", None, [], "MISSING_PRIORITY"),
        ("", "LOW2", [], "INVALID_PRIORITY"),
        ("", "HIGH", [], "MALFORMED_REQUEST_EMPTY"),
        ("", "HIGH", overlap, "MALFORMED_REQUEST: TypeError: taskid"),
        ("Task2", "HIGH", overlap, "REQUEST_CONFLICTS_WITH_SELF"),
        ("Task2", "HIGH", [triple(D1, "13:00", "12:00")], "MALFORMED_REQUEST: ValueError"),
        ("Task2", "HIGH", overlap[:1], "CONFLICTS_WITH_EXISTING_SCHEDULES"),
    ]
    for task_id, priority, requests, info in steps:
        assert book.rules.request(task_id, "B", priority, requests, book.now).info.startswith(info), info


def test_one_refusal_changes_nothing() -> None:
    """A request that one task withstands pre-empts nobody, and reserves nothing on its other devices."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"), priority="LOW")
    book.schedule("Task2", "A", triple(D2, "12:00", "13:00"))
    rows = [triple(device, "12:00", "13:00") for device in (D1, D2, D3)]
    assert book.schedule("Task3", "B", *rows).data == {"A": {"Task2": [triple(D2, "12:00", "13:00")]}}
    book.go("12:00")
    assert (book.window(D1), book.window(D3)) == (("A", 3600), None)
    assert book.told() == [("begun", "Task1", D1, "time"), ("begun", "Task2", D2, "time")]


@pytest.mark.parametrize("requests", [triple(D1, "12:00", "13:00"), [[triple(D1, "12:00", "13:00")]]])
def test_a_single_slot_needs_no_list(requests: Any) -> None:
    """One triple alone, or a list within a list of one, is understood as VOLTTRON does."""
    book = Book()
    assert book.rules.request("Task1", "A", "LOW", requests, book.now).ok
    book.go("12:00")
    assert book.window(D1) == ("A", 3600)


@pytest.mark.parametrize(
    "start", ["2026-11-22T12:00:00Z", "2026-11-22 12:00:00+00:00", "2026-11-22t13:00:00.000+01:00", " 2026-11-22T12:00Z "]
)
def test_times_are_iso_8601_with_a_zone(start: str) -> None:
    """A zone is Z or an offset, a space for the T will do, seconds may be left out."""
    book = Book()
    assert book.schedule("Task1", "A", ["/" + D1 + "/", start, "2026-11-22T13:00:00Z"]).ok
    book.go("12:00")
    assert book.window(D1) == ("A", 3600)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("10:00", "11:30", "the slot ended at 2026-11-22T11:30:00.000000Z; it is 2026-11-22T11:30:00.000000Z now"),
        ("12:00", "12:00", "start and end are the same"),
        ("12:00", "36:00:01", "a lease lasts at most 86400 s (setting actuator.max_lease)"),
    ],
)
def test_slots_that_can_not_be_had_are_refused(start: str, end: str, words: str) -> None:
    """Where VOLTTRON says SUCCESS and nothing comes of it, the request is refused; and a slot is no longer than a lease."""
    outcome = Book().schedule("Task1", "A", triple(D1, start, end))
    assert outcome.info.startswith("MALFORMED_REQUEST: ValueError: ")
    assert words in outcome.info


def test_slot_that_has_begun_already_starts_at_once() -> None:
    """What is left of a slot whose start lies in the past is granted."""
    book = Book()
    assert book.schedule("Task1", "A", triple(D1, "11:00", "12:00")).ok
    assert book.window(D1) == ("A", 1800)


def test_longest_slot_is_as_long_as_a_lease() -> None:
    """A slot of exactly max_lease is accepted."""
    book = Book(max_lease=DAY)
    assert book.schedule("Task1", "A", triple(D1, "12:00", "36:00")).ok
