"""A device on the network, for its interface: a session, and what its failures mean for the device's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.errors import DeadlinePassed, DeviceError, GatewayError, NotSent, Rejected, Transient, Unreachable
from gateway.interfaces._bacnet.config import BacnetConfig, ip_of
from gateway.interfaces._bacnet.values import Facts, Failure, Item, Ref, RequestFailed, Session, Value
from gateway.interfaces.base import Environment, MaySend
from gateway.model import PointError

REFUSALS = ("error", "reject", "abort")
"""The kinds of failure by which a device says no."""
LACKING = frozenset({"unknown-object", "unknown-property", "invalid-array-index", "property-is-not-an-array"})
"""What it says of that which it does not have."""


class Peer:
    """Used by the device's thread, but for ``wake``, which is called from any."""

    def __init__(self, config: BacnetConfig, env: Environment, wake: Callable[[], None]) -> None:
        self._config = config
        self._env = env
        self._wake = wake
        self.session: Session | None = None

    @property
    def facts(self) -> Facts | None:
        """What the device said of itself when it was found."""
        return self.session.facts() if self.session else None

    def open(self) -> None:
        """Join the network and find the device. Raises Unreachable."""
        if self.session is not None:
            return
        try:
            self.session = self._env.networks.join(self._config.local, self._config.target, self._wake)
            self._allow(self.session.find(self._config.patience))
        except RequestFailed as failed:
            self.close()
            raise Unreachable(failed.failure.message) from failed

    def close(self) -> None:
        """Leave the network."""
        session, self.session = self.session, None
        if session is not None:
            session.leave()

    def read(self, refs: Sequence[Ref], multiple: bool) -> list[Item | Failure]:
        """One request. Raises RequestFailed, Unreachable."""
        session = self._joined()
        return session.read(refs, multiple=multiple, timeout=self._config.patience, retries=self._config.apdu_retries)

    def write(self, ref: Ref, datatype: str, value: Value, priority: int | None, may_send: MaySend) -> None:
        """Write once. Raises what ``may_send`` raises, and what ``write_trouble`` gives."""
        session = self._joined()
        until = min(may_send(), self._env.clock.now() + self._config.patience)
        try:
            session.write(ref, datatype, value, priority, deadline=until, timeout=self._config.patience)
        except RequestFailed as failed:
            raise write_trouble(failed.failure) from failed

    def tell_time(self) -> None:
        """Send the device the time of this machine. Raises RequestFailed."""
        facts = self.facts
        if facts is not None:
            self._env.networks.time_sync(self._config.local, facts.address, self._env.clock.wall(), utc=True)

    def _joined(self) -> Session:
        if self.session is None:
            raise Unreachable("the device is not connected")
        return self.session

    def _allow(self, facts: Facts) -> None:
        ip = ip_of(facts.address)
        if ip is not None and not self._env.allow.address(ip):
            self.close()
            raise Unreachable(f"{self._config.target} is at {ip}, which the setting allow.networks does not permit")


def read_trouble(failure: Failure) -> DeviceError:
    """What a read that came to nothing means, unless the device has said no."""
    if failure.kind in ("lost", "unreachable"):
        return Unreachable(failure.message)
    return Transient(failure.message)


def write_trouble(failure: Failure) -> GatewayError:
    """What became of a write."""
    if failure.kind in REFUSALS:
        return Rejected(failure.message)
    if failure.kind in ("not_sent", "busy"):
        return DeadlinePassed(f"nothing was written: {failure.message}")
    if failure.kind == "unreachable":
        return NotSent(f"nothing was written: {failure.message}")
    return Unreachable(failure.message) if failure.kind == "lost" else Transient(failure.message)


def point_error(failure: Failure) -> PointError:
    """What a refusal means for the point that was asked for."""
    return PointError("device_rejected", failure.message, unsupported=failure.reason in LACKING)
