"""The actuator as a whole: its parts, put together, started and stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from gateway.actuator.audit import Audit
from gateway.actuator.clerk import Clerk
from gateway.actuator.collectors import Collectors
from gateway.actuator.desk import Desk
from gateway.actuator.journal import Journal, JournalError
from gateway.actuator.lease_methods import LeaseMethods
from gateway.actuator.mender import Mender
from gateway.actuator.methods import WriteMethods
from gateway.actuator.notices import Notices
from gateway.actuator.places import Places
from gateway.actuator.refusals import Refusals
from gateway.actuator.reverts import Reverts
from gateway.addressing import Addressing
from gateway.board import Board
from gateway.clock import Clock
from gateway.faultpoint import FaultPoint, passing
from gateway.fleet import Fleet
from gateway.interfaces.base import Environment
from gateway.rpc import Handler
from gateway.settings import Actuator
from gateway.store.compile import compile_device
from gateway.store.device_config import Spec
from gateway.vitals import Vitals

log = structlog.get_logger()


class Office:
    """Everything that has to do with the right to write and with giving back, for one gateway."""

    def __init__(
        self,
        settings: Actuator,
        gateway_id: str,
        env: Environment,
        state_dir: Path,
        credentials_dir: Path | None,
        fleet: Fleet,
        board: Board,
        notices: Notices,
        names: Addressing,
        fault_point: FaultPoint = passing,
    ) -> None:
        clock = env.clock
        self.journal = Journal(state_dir / "actuator.db", clock, fault_point)
        self.audit = Audit(state_dir / "audit.jsonl", gateway_id, clock, notices.event)
        self.desk = Desk(settings, clock, self.journal, self.audit, notices, board.problem, fleet, fault_point)
        self.desk.refusals = self.refusals = Refusals(self.audit, names, clock)
        self.collectors = Collectors(env)
        self.places = Places(gateway_id, self.desk, fleet, self.collectors)
        self.desk.reverts = Reverts(
            self.journal, self.audit, self.desk.lock, _compiler(env, credentials_dir), board.reverts, self.desk.paid
        )
        self.desk.reverts.places = self.places
        self.desk.reverts.waits = self.desk.waits
        fleet.keeper = self.places
        self.clerk = Clerk(settings, clock, self.desk, fleet, self.collectors, Mender(self.desk, clock, board.problem))
        self.desk.wake = self.clerk.wake
        self._clock: Clock = clock
        self._methods = WriteMethods(clock, names, self.desk, settings.lease_required)
        self._lease_methods = LeaseMethods(names, self.desk, fleet)

    def table(self) -> Mapping[str, Handler]:
        """Method name -> what carries it out."""
        return {**self._methods.table(), **self._lease_methods.table()}

    def start(self, vitals: Vitals) -> None:
        """Take over what the last process left, before any device runs."""
        try:
            self.desk.open()
        except JournalError as error:
            log.error("the journal can not be used: no leases, and no writes under them", reason=error.message)  # noqa: TRY400
            self.desk.records.unusable(error)
        vitals.others.append(self.collectors.late)
        self.clerk.start(vitals)

    def online(self) -> None:
        """It is known which devices are ours, and what is published goes out."""
        self.places.known()
        self.desk.announce()

    def leased(self) -> set[str]:
        """The devices that somebody holds."""
        return {lease.device for lease in self.desk.leases()}

    def close(self) -> None:
        """No more writes: all leases end, and the devices that run begin to give back."""
        self.desk.stop()

    def stop(self, deadline: float) -> list[str]:
        """When the devices have ended: end the rest by that boot clock time; the names of threads that did not."""
        left = self.collectors.stop(deadline)
        if not self.clerk.stop(max(0.1, deadline - self._clock.now())):
            left.append(self.clerk.name)
        return left


def _compiler(env: Environment, credentials_dir: Path | None) -> Callable[[str, bytes, dict[str, bytes]], Spec | None]:
    def compiled(path: str, payload: bytes, documents: dict[str, bytes]) -> Spec | None:
        return compile_device(path, payload, documents, env, credentials_dir).spec

    return compiled
