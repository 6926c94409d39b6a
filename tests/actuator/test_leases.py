from __future__ import annotations

import json
import math
from typing import Any

import pytest

from gateway.actuator import leases
from gateway.actuator.model import Reason
from gateway.errors import BadRequest, Busy, LeasedByOther, LeaseLost
from tests.actuator.book import D1, D2, D3, Book, at, triple

EPOCH = 2**32


def kept(book: Book) -> list[dict[str, Any]]:
    """What the journal would give back after a crash."""
    return json.loads(json.dumps(book.rules.pending()))  # type: ignore[no-any-return]


# ---- acquire


def test_acquire_is_a_task_of_one_slot_from_now() -> None:
    """A lease on two devices begins at once, with one fence for both, and ends after its duration."""
    book = Book()
    told = book.acquire("alice", D1, "/" + D2, duration=600)
    assert told == {
        "task_id": f"lease-{EPOCH + 1}",
        "devices": [D1, D2],
        "from": "2026-11-22T11:30:00.000000Z",
        "until": "2026-11-22T11:40:00.000000Z",
        "fence": EPOCH + 1,
    }
    assert [book.window(device) for device in (D1, D2, D3)] == [("alice", 600), ("alice", 600), None]
    book.forward(600)
    assert book.window(D1) is None
    assert [change[0] for change in book.told()] == ["begun", "begun", "ended", "ended"]


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_acquire_of_a_device_that_is_held_is_refused(who: str) -> None:
    """Held by somebody else or by oneself: the refusal tells the task, the holder and the end; nothing is granted."""
    book = Book()
    task = book.acquire("alice", D1)["task_id"]
    with pytest.raises(LeasedByOther) as refusal:
        book.acquire(who, D2, D1)
    assert refusal.value.data == {
        "task": task,
        "holder": "alice",
        "from": "2026-11-22T11:30:00.000000Z",
        "until": "2026-11-22T11:40:00.000000Z",
    }
    assert book.window(D2) is None


def test_acquire_that_would_meet_a_slot_to_come_is_refused() -> None:
    """A duration that reaches into somebody's slot is refused, one that ends at its start is not."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:40", "12:00"))
    with pytest.raises(LeasedByOther, match="from 2026-11-22T11:40"):
        book.acquire("B", D1, duration=601)
    assert book.acquire("B", D1, duration=600)["until"] == "2026-11-22T11:40:00.000000Z"


def test_acquire_that_preempts_begins_after_the_grace() -> None:
    """HIGH over a lease of LOW_PREEMPT: from is later by the grace, and the duration counts from there."""
    book = Book()
    first = book.acquire("A", D1, priority="LOW_PREEMPT")["task_id"]
    told = book.acquire("B", D1, D2, priority="HIGH", duration=100)
    assert (told["from"], told["until"]) == ("2026-11-22T11:31:00.000000Z", "2026-11-22T11:32:40.000000Z")
    assert book.lost() == [(first, "B", at("11:31"))]
    assert (book.window(D1), book.window(D2)) == (("A", 60), None)
    book.forward(60)
    lease = book.may(D1, "B", told["task_id"], told["fence"])
    assert lease
    assert (book.window(D1), book.window(D2)) == (("B", 100), ("B", 100))


def test_acquire_waits_no_longer_than_the_lease_that_it_preempts() -> None:
    """What ends of itself within the grace is not waited for any longer."""
    book = Book()
    book.acquire("A", D1, priority="LOW_PREEMPT", duration=10)
    assert book.acquire("B", D1, priority="HIGH")["from"] == "2026-11-22T11:30:10.000000Z"
    book.forward(10)
    assert book.window(D1) == ("B", 600)


def test_acquire_without_a_lease_in_its_way_begins_at_once() -> None:
    """HIGH over a task that holds other devices, or has not begun, has no grace to wait for."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:35", "12:00"), triple(D2, "11:00", "12:00"), priority="LOW_PREEMPT")
    assert book.acquire("B", D1, priority="HIGH")["from"] == "2026-11-22T11:30:00.000000Z"
    assert (book.window(D1), book.window(D2)) == (("B", 600), ("A", 60))


def test_grace_of_nothing_preempts_at_once() -> None:
    """With a grace of 0 the device changes hands at the same instant."""
    book = Book(grace=0)
    book.acquire("A", D1, priority="LOW_PREEMPT")
    assert book.acquire("B", D1, priority="HIGH")["from"] == "2026-11-22T11:30:00.000000Z"
    assert book.window(D1) == ("B", 600)
    assert [change[0] for change in book.told()] == ["begun", "lost", "ended", "begun"]


@pytest.mark.parametrize("priority", ["HIGH", "LOW"])
def test_high_and_started_low_are_not_preempted(priority: str) -> None:
    """A lease from now has started: LOW is not pre-empted any more, HIGH never."""
    book = Book()
    book.acquire("A", D1, priority=priority)
    with pytest.raises(LeasedByOther):
        book.acquire("B", D1, priority="HIGH")
    assert book.window(D1) == ("A", 600)


@pytest.mark.parametrize(
    ("devices", "duration", "priority"),
    [
        ([], 60, "LOW"),
        ("C/B/D", 60, "LOW"),
        ([D1, 7], 60, "LOW"),
        ([D1, "/" + D1], 60, "LOW"),
        ([D1], 0, "LOW"),
        ([D1], -1, "LOW"),
        ([D1], 86401, "LOW"),
        ([D1], 10**400, "LOW"),
        ([D1], math.nan, "LOW"),
        ([D1], math.inf, "LOW"),
        ([D1], True, "LOW"),
        ([D1], "60", "LOW"),
        ([D1], None, "LOW"),
        ([D1], 60, "low"),
        ([D1], 60, None),
    ],
)
def test_what_can_not_be_understood_is_refused(devices: Any, duration: Any, priority: Any) -> None:
    """Devices are a list of different paths, the duration is above 0 and at most max_lease, the priority has its name."""
    book = Book()
    with pytest.raises(BadRequest):
        book.rules.acquire("A", devices, duration, priority, book.now)
    assert book.rules.tasks(book.now) == []


def test_high_lease_is_for_those_who_may() -> None:
    """Who is not named by actuator.high is told so, and may have LOW."""
    book = Book(high=("ops*",))
    with pytest.raises(BadRequest, match=r"alice may not ask for HIGH \(setting actuator.high\)"):
        book.acquire("alice", D1, priority="HIGH")
    assert book.acquire("alice", D1, priority="LOW")


def test_task_id_of_a_lease_is_one_that_nobody_has() -> None:
    """If somebody has given a task the id that a lease would have, the lease has another."""
    book = Book()
    book.schedule(f"lease-{EPOCH + 1}", "A", triple(D1, "12:00", "13:00"))
    told = book.acquire("B", D2)
    assert (told["task_id"], told["fence"]) == (f"lease-{EPOCH + 2}", EPOCH + 2)


# ---- renew and release


@pytest.mark.parametrize("duration", [10, 3600])
def test_renew_sets_the_end_from_now(duration: float) -> None:
    """The new end counts from now, later or earlier than before; task, devices, start and fence stay."""
    book = Book()
    told = book.acquire("A", D1, D2)
    book.forward(100)
    renewed = book.rules.renew(told["task_id"], "A", duration, book.now)
    assert book.window(D1) == book.window(D2) == ("A", duration)
    assert {**renewed, "until": told["until"]} == told


def test_renew_into_a_slot_of_another_is_refused() -> None:
    """Renewal up to the start of the next slot is granted, a second more is not; then all stays as it was."""
    book = Book()
    task = book.acquire("A", D1, D2)["task_id"]
    book.schedule("Task1", "B", triple(D2, "12:00", "13:00"))
    with pytest.raises(LeasedByOther, match=r'fakedriver1 is held by B with task "Task1" from 2026-11-22T12:00'):
        book.rules.renew(task, "A", 1801, book.now)
    assert (book.window(D1), book.window(D2)) == (("A", 600), ("A", 600))
    book.rules.renew(task, "A", 1800, book.now)
    book.go("12:00")
    assert (book.window(D1), book.window(D2)) == (None, ("B", 3600))


def test_renewed_lease_is_in_the_way_of_others() -> None:
    """What is renewed counts with its new end when others ask."""
    book = Book()
    task = book.acquire("A", D1)["task_id"]
    book.rules.renew(task, "A", 3600, book.now)
    assert not book.schedule("Task1", "B", triple(D1, "12:29:59", "13:00")).ok
    assert book.schedule("Task1", "B", triple(D1, "12:30", "13:00")).ok


def test_who_was_preempted_can_not_renew() -> None:
    """During the grace a renewal is refused, also of devices that nobody else has asked for."""
    book = Book()
    task = book.acquire("A", D1, D2, priority="LOW_PREEMPT")["task_id"]
    book.acquire("B", D1, priority="HIGH")
    with pytest.raises(LeaseLost, match="was pre-empted by B"):
        book.rules.renew(task, "A", 600, book.now)
    book.forward(60)
    assert book.window(D2) is None


def test_leases_of_a_schedule_are_renewed_together() -> None:
    """All leases in force of a task get the same end; fences that differ are not told as one."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:00", "12:00"), triple(D2, "11:40", "12:00"))
    book.go("11:50")
    renewed = book.rules.renew("Task1", "A", 60, book.now)
    assert (renewed["devices"], renewed["fence"]) == ([D1, D2], None)
    assert (book.window(D1), book.window(D2)) == (("A", 60), ("A", 60))


@pytest.mark.parametrize(("task", "who"), [("Task1", "B"), ("Task2", "A"), (None, "A")])
def test_only_the_holder_renews_and_releases(task: Any, who: str) -> None:
    """Another requester, or another task id, is lease_lost, and the lease goes on."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:00", "12:00"))
    with pytest.raises(LeaseLost):
        book.rules.renew(task, who, 60, book.now)
    with pytest.raises(LeaseLost):
        book.rules.release(task, who, book.now)
    assert book.window(D1) == ("A", 1800)


def test_renew_before_the_begin_and_after_the_end_is_refused() -> None:
    """Only a lease in force is renewed."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"))
    for moment in ("11:59", "13:00"):
        book.go(moment)
        with pytest.raises(LeaseLost):
            book.rules.renew("Task1", "A", 60, book.now)


def test_release_ends_the_task() -> None:
    """The leases end at once, slots to come go too, nobody is told of a loss, and the devices are free."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:00", "12:00"), triple(D2, "11:00", "12:00"), triple(D1, "14:00", "15:00"))
    book.rules.release("Task1", "A", book.now)
    assert [(kind, device, reason) for kind, _, device, reason in book.told()] == [
        ("begun", D1, "time"),
        ("begun", D2, "time"),
        ("ended", D1, "released"),
        ("ended", D2, "released"),
    ]
    assert book.rules.tasks(book.now) == []
    assert book.acquire("B", D1, duration=86400)


# ---- who may write


def test_free_device_needs_no_lease() -> None:
    """On a device that nobody holds, the answer is no lease, and no refusal."""
    assert Book().may(D1, "anybody") is None


def test_holder_may_write_with_or_without_naming_the_lease() -> None:
    """The holder's write goes out, with the lease or the fence named, or neither."""
    book = Book()
    told = book.acquire("A", D1)
    named: list[tuple[Any, Any]] = [
        (None, None),
        (told["task_id"], None),
        (None, told["fence"]),
        (told["task_id"], told["fence"]),
    ]
    assert [book.may(D1, "A", *names) is not None for names in named] == [True] * 4


@pytest.mark.parametrize("who", ["A", "B"])
@pytest.mark.parametrize(("task", "fence"), [("lease-1", None), ("", None), (None, 1), (None, 0)])
def test_wrong_or_old_lease_is_lost(who: str, task: str | None, fence: int | None) -> None:
    """A task or fence that is not the one in force is lease_lost, on a free device too."""
    book = Book()
    book.acquire("A", D1)
    for device in (D1, D2):
        with pytest.raises(LeaseLost):
            book.may(device, who, task, fence)


def test_lease_that_has_ended_is_lost_when_another_holds_the_device() -> None:
    """Who names the lease that it had is told that it is lost, not only that somebody else holds the device."""
    book = Book()
    old = book.acquire("A", D1, duration=60)
    book.forward(60)
    new = book.acquire("A", D1)
    assert new["fence"] > old["fence"]
    with pytest.raises(LeaseLost):
        book.may(D1, "A", None, old["fence"])


def test_write_is_refused_from_the_instant_of_the_end() -> None:
    """What decides is the moment of asking, not when somebody last looked at the time."""
    book = Book()
    told = book.acquire("A", D1, duration=60)
    book.forward(59.999)
    assert book.may(D1, "A", told["task_id"])
    book.forward(0.001)
    with pytest.raises(LeaseLost):
        book.may(D1, "A", told["task_id"])


# ---- reverts pending, overrides


def test_device_with_reverts_to_do_grants_nothing() -> None:
    """From the end of the lease until all is given back, acquire and writes are busy; the lease itself was not disturbed."""
    book = Book()
    book.acquire("A", D1, duration=60)
    book.rules.hold(D1)
    assert book.may(D1, "A")
    book.forward(60)
    for refused in (lambda: book.may(D1, "A"), lambda: book.acquire("B", D2, D1)):
        with pytest.raises(Busy) as refusal:
            refused()
        assert refusal.value.data == {"reason": "revert_pending"}
    assert book.window(D2) is None
    book.rules.unhold(D1)
    assert book.may(D1, "A") is None
    assert book.acquire("B", D1)


def test_slot_whose_time_has_come_waits_for_reverts() -> None:
    """The next slot begins when all is given back, and its end stays."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:30", "12:00"))
    book.schedule("Task2", "B", triple(D1, "12:00", "13:00"))
    book.rules.hold(D1)
    book.go("12:00:05")
    assert book.window(D1) is None
    assert book.rules.next_change(book.now) == book.boot
    book.changes()
    assert book.rules.next_change(book.now) == book.boot + 3595
    book.rules.unhold(D1)
    assert book.rules.next_change(book.now) == book.boot
    assert book.window(D1) == ("B", 3595)


def test_slot_that_is_over_before_the_device_is_free_never_begins() -> None:
    """It is told as missed; no lease begins."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "12:10"))
    book.rules.hold(D1)
    book.go("12:10")
    book.rules.unhold(D1)
    assert book.told() == [("missed", "Task1", D1, "time")]
    assert book.rules.tasks(book.now) == []


def test_override_ends_leases_in_force_and_leaves_slots_to_come() -> None:
    """The holder loses the devices that are covered, and is told by whom; its other leases and slots stay."""
    book = Book()
    rows = [triple(D1, "11:30", "12:00"), triple(D2, "11:30", "12:00"), triple(D1, "14:00", "15:00")]
    book.schedule("Task1", "A", *rows)
    book.changes()
    book.rules.end([D1, D3], Reason.OVERRIDE, "ops", book.now)
    lost, ended = book.changes()
    assert (lost.kind, lost.holder, lost.reason, lost.by, lost.at) == ("lost", "A", "override", "ops", book.wall)
    assert ended.lease
    assert (ended.kind, ended.lease.device, ended.reason, ended.by) == ("ended", D1, "override", "ops")
    assert (book.window(D1), book.window(D2)) == (None, ("A", 1800))
    book.go("14:00")
    assert book.window(D1) == ("A", 3600)


def test_leases_that_end_for_a_restart_are_told_as_that() -> None:
    """At a stop leases end without a message to their holders, and a slot that waits for one does not begin any more."""
    book = Book()
    book.acquire("A", D1, priority="LOW_PREEMPT")
    book.schedule("Task1", "B", triple(D1, "11:30", "12:00"))
    book.changes()
    book.rules.end([D1], Reason.RESTART, "", book.now)
    assert [(kind, reason) for kind, _, _, reason in book.told()] == [("ended", "restart")]
    assert [task["task_id"] for task in kept(book)] == ["Task1"]
    assert math.isfinite(book.rules.next_change(book.now))


# ---- clocks


@pytest.mark.parametrize("jump", [3600, -3600, 3.15e8, -3.15e8])
def test_setting_the_clock_moves_no_lease_in_force(jump: float) -> None:
    """The end is fixed on the boot clock; what is told of it, and what others may have, follows the wall clock."""
    book = Book()
    book.acquire("A", D1)
    book.wall += jump
    assert book.window(D1) == ("A", 600)
    with pytest.raises(LeasedByOther):
        book.acquire("B", D1)
    lease = book.rules.holder(D1, book.now)
    assert lease
    assert abs(lease.until - (book.wall + 600)) < 0.001
    book.forward(600)
    assert book.window(D1) is None


def test_slot_begins_by_the_wall_clock_but_not_before_the_one_before_has_ended() -> None:
    """After the clock was put forward, the next slot waits for the end of the lease in force, and keeps its own end."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:30", "12:00"))
    book.schedule("Task2", "B", triple(D1, "12:00", "13:00"))
    book.changes()
    book.wall = at("12:10")
    assert book.window(D1) == ("A", 1800)
    book.forward(1800)
    assert book.window(D1) == ("B", 20 * 60)


def test_small_corrections_of_the_clock_make_no_conflict() -> None:
    """A lease in force that ends a little later by the corrected clock does not refuse the slot that touches it."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:30", "12:00"))
    book.changes()
    book.wall += 0.9
    assert book.schedule("Task2", "B", triple(D1, "12:00", "13:00")).ok


def test_promised_fence_that_was_overtaken_is_drawn_anew() -> None:
    """If a third lease takes the device in the meantime, fences still only grow."""
    book = Book()
    first = book.acquire("A", D1, priority="LOW_PREEMPT")["task_id"]
    promised = book.acquire("B", D1, priority="HIGH")
    book.rules.release(first, "A", book.now)
    between = book.acquire("C", D1, duration=30)
    book.forward(60)
    lease = book.rules.holder(D1, book.now)
    assert lease
    assert promised["fence"] < between["fence"] < lease.fence


def test_long_sleep_is_caught_up_in_order() -> None:
    """A process that was stopped for hours ends what was in force, misses what is over, and begins what is on."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:30", "12:00"), triple(D1, "12:00", "13:00"), triple(D1, "13:00", "15:00"))
    book.changes()
    book.go("14:00")
    assert [kind for kind, _, _, _ in book.told()] == ["ended", "missed", "begun"]
    assert book.window(D1) == ("A", 3600)


# ---- restart, list


def test_slots_to_come_survive_a_restart() -> None:
    """After a crash the leases in force are over, slots to come begin at their time, with a fence of the new epoch."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:30", "12:00"), triple(D1, "12:00", "13:00"), priority="LOW")
    book.schedule("Task2", "B", triple(D2, "13:00", "14:00"))
    book.changes()
    again = Book(epoch=2)
    again.rules.restore(kept(book))
    assert again.window(D1) is None
    again.go("12:00")
    assert again.window(D1) == ("A", 3600)
    lease = again.rules.holder(D1, again.now)
    assert lease
    assert lease.fence == 2 * EPOCH + 1


def test_low_that_had_started_is_started_after_a_restart() -> None:
    """The gap between its slots protects a LOW task after a restart too."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:30", "11:40"), triple(D1, "12:00", "13:00"), priority="LOW")
    book.go("11:45")
    book.changes()
    again = Book(epoch=2)
    again.rules.restore(kept(book))
    assert not again.schedule("Task2", "B", triple(D1, "12:00", "13:00")).ok


@pytest.mark.parametrize("tasks", [[None], [{}], [{"task_id": "x"}], ["x"]])
def test_what_was_not_kept_by_us_is_refused(tasks: Any) -> None:
    """What is no list of tasks is an error, and nothing is taken over."""
    book = Book()
    with pytest.raises(ValueError, match="is no task that was kept"):
        book.rules.restore(tasks)
    assert book.rules.tasks(book.now) == []


def test_two_tasks_of_one_id_are_refused() -> None:
    """A journal with an id twice is not ours."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "12:00", "13:00"))
    with pytest.raises(ValueError, match="same id"):
        Book().rules.restore([*kept(book), *kept(book)])


def test_list_tells_slots_in_force_and_to_come() -> None:
    """Each task with its holder and priority; a fence stands with what is in force."""
    book = Book()
    book.schedule("Task1", "A", triple(D1, "11:30", "12:00"), triple(D2, "12:00", "13:00"))
    assert book.rules.tasks(book.now) == [
        {
            "task_id": "Task1",
            "holder": "A",
            "priority": "HIGH",
            "slots": [
                {
                    "device": D1,
                    "from": "2026-11-22T11:30:00.000000Z",
                    "until": "2026-11-22T12:00:00.000000Z",
                    "in_force": True,
                    "fence": EPOCH + 1,
                },
                {
                    "device": D2,
                    "from": "2026-11-22T12:00:00.000000Z",
                    "until": "2026-11-22T13:00:00.000000Z",
                    "in_force": False,
                    "fence": None,
                },
            ],
        }
    ]


def test_nothing_to_come_is_never() -> None:
    """Without a task there is no time to look again."""
    book = Book()
    assert math.isinf(book.rules.next_change(book.now))


# ---- limits, and devices that go


def test_one_requester_has_so_many_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases and slots to come count together; what is one too many changes nothing, and others are not concerned."""
    monkeypatch.setattr(leases, "MAX_SLOTS", 3)
    book = Book()
    book.acquire("A", D1)
    assert book.schedule("Task1", "A", triple(D1, "12:00", "12:30"), triple(D1, "13:00", "13:30")).ok
    full = book.schedule("Task2", "A", triple(D2, "12:00", "12:30"))
    assert full.info.startswith("TOO_MANY_SLOTS: A has 3 of at most 3 slots")
    with pytest.raises(Busy) as refused:
        book.acquire("A", D2)
    assert refused.value.data == {"reason": "too_many_slots", "limit": 3}
    assert book.acquire("B", D2)["devices"] == [D2]
    book.rules.cancel("Task1", "A", book.now)
    assert book.acquire("A", D3)["devices"] == [D3]


def test_a_device_that_goes_takes_its_slots_along() -> None:
    """Its lease ends, its slots to come go, each task is told once; what it has on other devices stays."""
    book = Book()
    book.acquire("A", D1)
    book.schedule("Task1", "B", triple(D1, "12:00", "12:30"), triple(D1, "13:00", "13:30"), triple(D2, "12:00", "12:30"))
    book.changes()
    book.rules.drop(D1, "edge-1", book.now)
    assert sorted(book.told()) == [
        ("ended", "lease-4294967297", D1, "cancelled"),
        ("lost", "Task1", "", "cancelled"),
        ("lost", "lease-4294967297", "", "cancelled"),
        ("missed", "Task1", D1, "cancelled"),
        ("missed", "Task1", D1, "cancelled"),
    ]
    assert [row[0] for task in kept(book) for row in task["slots"]] == [D2]
    assert book.acquire("C", D1, duration=3600)["devices"] == [D1]
