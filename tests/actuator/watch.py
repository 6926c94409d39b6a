"""Who may write what, and what is to be given back, as a test knows it: checked when a frame leaves, and after each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.actuator.reverts import GivingBack, Key
from gateway.actuator.writes import Write
from gateway.errors import NotTaken, Rejected, Transient, Unreachable
from gateway.model import Message, Register, Scalar
from gateway.payloads import parse
from tests.actuator.plants import PATHS, Plant

if TYPE_CHECKING:
    from tests.actuator.world import World

LONGEST = 3600.0
"""Seconds of a lease."""
PATIENCE = 12.0
"""Seconds in which a device that is well is given back all."""


@dataclass(frozen=True)
class Debt:
    """What was written under a lease and is to be given back: the point, for which task, and what was there."""

    key: Key
    task: str
    home: Scalar | None

    @property
    def path(self) -> str:
        """The device."""
        return self.key[0]


class Watch:
    """What must hold; ``debts`` are by plant and place, ``in_force`` the leases' fences and latest ends by device."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.debts: dict[tuple[str, str], Debt] = {}
        self.fences = dict.fromkeys(PATHS, 0)
        self.in_force: dict[str, tuple[int, float]] = {}

    def frame(self, plant: Plant, place: str, register: Register, value: Any, right: Any) -> Scalar | None:
        """A write leaves for a plant at this moment; what comes of it, and with it what is to be given back."""
        where = plant.name, place
        check = self._check_revert if isinstance(right, GivingBack) else self._check_write
        debt = check(plant, place, register, value, right)
        self._world.at("on_wire")
        try:
            taken = plant.take(place, value)
        except (Transient, Unreachable):
            self._owe(where, self.debts.get(where) or debt)
            raise
        except Rejected:
            self._owe(where, debt and self.debts.get(where))
            raise
        except NotTaken:
            self._owe(where, debt)
            raise
        self._owe(where, debt)
        return taken

    def _owe(self, where: tuple[str, str], debt: Debt | None) -> None:
        self.debts.pop(where, None)
        if debt is not None:
            self.debts[where] = debt

    def _check_write(self, plant: Plant, place: str, register: Register, value: Any, right: Any) -> Debt | None:
        """Whoever writes may do so now; what is owed when the device has taken it."""
        assert isinstance(right, Write)
        path, lease, debt = right.spec.path, right._lease, self.debts.get((plant.name, place))
        self._once(right)
        assert path in self._world.configured
        assert path not in self._world.foreign
        assert not self._world.desk.overridden([path]), "a write under an override"
        assert not self._world.desk.reverts.due(path), "a write before what is to be given back"
        holder = {each.device: each for each in self._world.desk.leases()}.get(path)
        assert (holder and holder.task_id) == (lease and lease.task_id)
        assert holder is None or holder.holder == right.claimed.requester
        assert right.claimed.fence in (None, holder.fence if holder else None)
        if lease is None:
            assert all(d.path != path for d in self.debts.values()), (
                "a write without lease onto one that is to be given back"
            )
        elif right.kind == "write":
            known = {entry.key for entry in self._world.office.journal.open_writes(path)}
            assert right.key in known, "a leased write that is not journalled"
            return debt or Debt(right.key, lease.task_id, self._home(plant, place, register))
        return debt

    def _home(self, plant: Plant, place: str, register: Register) -> Scalar | None:
        if register.priority is not None:
            return None
        return plant.values[place] if register.default is None else register.default

    def _once(self, right: Write) -> None:
        """A request is carried out once, in time, and before it is answered."""
        assert right.id is not None
        key, point, now = right.id.encode(), right.register.name, self._world.clock.now()
        sent = next(s for s in self._world.sent[key] if not s.crashed and s.deadline == right.ticket.deadline)
        assert now < sent.deadline, "a write after its deadline"
        assert not right.ticket.answered, "a write after its answer"
        sent.frames[point] += 1
        assert sent.frames[point] == 1, "a write that was sent twice"
        for other in self._world.sent[key]:
            if other is not sent and other.frames[point] and not (other.jumped and other.crashed):
                assert sent.taken is not None
                assert other.deadline <= sent.taken, "a duplicate that was carried out"

    def _check_revert(self, plant: Plant, place: str, register: Register, value: Any, right: GivingBack) -> None:
        """It is due, and gives back what was there."""
        path, debt = right.point.entry.device, self.debts.get((plant.name, place))
        assert right.point.due
        assert not self._world.desk.reverts.waits(path), "a revert under an override without fail-safe"
        if debt is None:
            assert value in (register.default, plant.values[place], None), f"{value} is given back to {plant.values[place]}"
        else:
            assert value == debt.home, f"{value} is given back, not {debt.home}"

    def let_go(self, request: Message, result: Any) -> None:
        """A lease may be longer, what a task has written is to stay, or what could not be given back is given up."""
        arguments = parse(request.payload.decode())
        if arguments.get("keep") and (result is None or result["result"] == "SUCCESS"):
            self.debts = {
                at: debt for at, debt in self.debts.items() if debt.task != arguments["task_id"] or self._is_due(debt)
            }
        if request.topic.endswith("/renew_lease"):
            for lease in self._world.desk.leases():
                if lease.task_id == arguments["task_id"]:
                    assert request.topic.split("/")[1] == lease.holder
                    self.in_force[lease.device] = (lease.fence, self._world.clock.now() + arguments["duration"])
        if arguments.get("abandon"):
            kept = {write.key for write in self._world.office.journal.open_writes()}
            self.debts = {
                at: debt for at, debt in self.debts.items() if debt.key in kept or debt.key[1] not in result["abandoned"]
            }

    def let_go_perhaps(self, request: Message) -> None:
        """The disk has refused what a task has written to stay: it stays if the lease has ended all the same."""
        arguments = parse(request.payload.decode())
        if arguments.get("keep"):
            is_open = self._world.desk.reverts.is_open
            self.debts = {
                at: debt for at, debt in self.debts.items() if debt.task != arguments["task_id"] or is_open(debt.key)
            }

    def _is_due(self, debt: Debt) -> bool:
        """Whether it is on its way back already: by somebody's wish, or as another lease of the task has ended."""
        return any(point.due for point in self._world.desk.reverts.points(debt.path) if point.entry.key == debt.key)

    def look(self) -> None:
        """At most one lease for a device, of a new fence each, none beyond its end; and each debt is known."""
        leases = self._world.desk.leases()
        assert len({lease.device for lease in leases}) == len(leases)
        seen = {}
        for lease in leases:
            fence, limit = self.in_force.get(lease.device, (0, 0.0))
            if lease.fence != fence:
                assert lease.fence > self.fences[lease.device], "a fence that does not grow"
                limit = self._world.clock.now() + LONGEST
                self.fences[lease.device] = lease.fence
            assert self._world.clock.now() < lease.ends <= limit + 0.001, "a lease that grows"
            seen[lease.device] = (lease.fence, lease.ends)
        self.in_force = seen
        self._look_at_debts(set(seen))

    def _look_at_debts(self, leased: set[str]) -> None:
        """What was written is in the journal; what is due is told."""
        for path in PATHS:
            due = self._world.desk.reverts.due(path)
            assert self._world.board._debts.get(path, 0) == due
        if not self.debts:
            return
        kept = {write.key for write in self._world.office.journal.open_writes()}
        for (name, place), debt in self.debts.items():
            assert debt.key in kept, f"{debt} is lost"
            points = [point for point in self._world.desk.reverts.points(debt.path) if point.entry.key == debt.key]
            reached = [(point.spec.config.name, point.register.units) for point in points]
            assert reached == [(name, place.partition("@")[0])], f"{debt} is not to be given back"

    def all_due(self) -> None:
        """Every thread had its turn: what no lease covers is on its way back."""
        leased = {lease.device for lease in self._world.desk.leases()}
        for debt in self.debts.values():
            points = [point for point in self._world.desk.reverts.points(debt.path) if point.entry.key == debt.key]
            assert debt.path in leased or all(point.due for point in points), f"{debt} is not due"

    def payable(self) -> dict[tuple[str, str], Debt]:
        """What can be given back now: no lease and no override keeps it, and its plant answers."""
        leased = {lease.device for lease in self._world.desk.leases()} | self._world.foreign
        return {
            (name, place): debt
            for (name, place), debt in self.debts.items()
            if debt.path not in leased
            and not self._world.desk.reverts.waits(debt.path)
            and self._world.plants[name].way == "well"
        }
