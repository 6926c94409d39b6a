"""What happens when the child process dies, hangs, or can not have its port, and to those that it was working for."""

from __future__ import annotations

import math
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.interfaces._bacnet import life
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces._bacnet.services import write_request
from gateway.interfaces._bacnet.session import BacnetSession
from gateway.interfaces._bacnet.values import Changed, Failure, Item, Lapsed, Local, Ref, RequestFailed, Target
from tests.integration.waiting import PATIENCE, eventually
from tests.interfaces.bacnet.simulator import SimDevice, Simulator, free_udp_port

pytest.importorskip("bacpypes3", reason="bacpypes3 is not installed")

AV = 2


class Rig:
    """A simulator, a network with one session, and what the network tells the operator."""

    def __init__(self) -> None:
        self.device = SimDevice(port=free_udp_port())
        self.port = free_udp_port()
        self.problems: list[str | None] = []
        self.networks = BacnetNetworks(Options(address="127.0.0.1/8", port=self.port), SystemClock(), self.problems.append)

    def join(self, address: str = "127.0.0.11") -> BacnetSession:
        """A session with a device."""
        return self.networks.join(Local(), Target(address=f"{address}:{self.device.port}"), lambda: None)

    def child_pid(self) -> int | None:
        """The child process, if it has begun."""
        (network,) = self.networks._networks.values()
        child = network._life._child if network._life else None
        return child.process.pid if child else None

    @property
    def pid(self) -> int:
        """The child process."""
        (network,) = self.networks._networks.values()
        assert network._life is not None
        assert network._life._child is not None
        return network._life._child.process.pid


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Everything for one test; nothing is left behind."""
    rig = Rig()
    with Simulator(rig.device) as simulator:
        rig.simulator = simulator  # type: ignore[attr-defined]
        yield rig
        assert rig.networks.stop(10.0) == []


def alive(pid: int) -> bool:
    """Whether a process is there, be it as a zombie."""
    return Path(f"/proc/{pid}").exists()


def failed(call: object, *args: object, **options: object) -> Failure:
    """How a call fails."""
    with pytest.raises(RequestFailed) as raised:
        call(*args, **options)  # type: ignore[operator]
    return raised.value.failure


def works(session: BacnetSession) -> bool:
    """Whether the device is found and answers."""
    try:
        session.find(2.0)
        return session.read([Ref(AV, 1)]) == [Item("real", 1.5)]
    except RequestFailed:
        return False


def test_killed_child_is_followed_by_another(rig: Rig) -> None:
    """After kill -9 a session works again by itself, the subscription too, and the operator was told in between."""
    session = rig.join()
    session.find(20.0)
    session.subscribe(Ref(AV, 2), lifetime=300, confirmed=False)
    eventually(lambda: any(isinstance(n, Changed) for n in session.notices()), "the first notice")
    first = rig.pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: any(isinstance(n, Lapsed) for n in session.notices()), "the end of the subscription")
    eventually(lambda: any(isinstance(n, Changed) for n in session.notices()), "a notice of the next process")
    assert works(session)
    assert not alive(first)
    assert rig.problems[-1] is None
    assert any(problem and "ended unexpectedly (exit code -9)" in problem for problem in rig.problems)


def test_outcome_of_a_write_is_unknown_when_the_child_dies(rig: Rig) -> None:
    """A write that was under way when the child died ends at once, and nobody claims that it did not happen."""
    session = rig.join()
    session.find(20.0)
    rig.simulator.freeze()  # type: ignore[attr-defined]
    ends: list[Failure] = []
    write = threading.Thread(
        target=lambda: ends.append(failed(session.write, Ref(AV, 1), "real", 9.0, 8, deadline=math.inf, timeout=30.0))
    )
    write.start()
    time.sleep(0.3)  # until it is on the wire
    began = time.monotonic()
    os.kill(rig.pid, signal.SIGKILL)
    write.join(20)
    assert time.monotonic() - began < 2 * PATIENCE
    assert [end.kind for end in ends] == ["lost"]
    assert ends[0].unknown
    rig.simulator.thaw()  # type: ignore[attr-defined]


def test_child_that_hangs_is_replaced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that answers no ping any more is killed, and another takes over."""
    monkeypatch.setattr(life, "TICK", 0.1)
    monkeypatch.setattr(life, "START_TICKS", 400)
    session = rig.join()
    session.find(20.0)
    first = rig.pid
    os.kill(first, signal.SIGSTOP)
    eventually(lambda: any(p and "hung" in p for p in rig.problems), "the problem")
    eventually(lambda: works(session), "the next process")
    assert not alive(first)


def test_failure_of_the_network_s_own_thread_is_survived(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug met on the network's thread ends one child, is told, and the next child works."""
    monkeypatch.setattr(life.Life, "_hear", _fail_once(life.Life._hear))
    session = rig.join()
    eventually(lambda: works(session), "the next process")
    assert any(problem and "a failure in the gateway" in problem for problem in rig.problems)
    assert rig.networks.late(SystemClock().now() + 20) == []
    assert rig.networks.late(SystemClock().now() + 60) == [f"bacnet:127.0.0.1:{rig.port}"]


def _fail_once(method: Callable[..., None]) -> Callable[..., None]:
    failures = iter([RuntimeError("a bug")])

    def failing(*arguments: object) -> None:
        for failure in failures:
            raise failure
        method(*arguments)

    return failing


def test_taken_port_is_told_and_used_when_free(rig: Rig) -> None:
    """While another program has the port the failure says so; when it is gone the network comes up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", rig.port))
        session = rig.join()
        words = failed(session.find, 10.0).message
        assert words.startswith(f"UDP port {rig.port} at 127.0.0.1 is taken by another program")
        assert rig.problems[-1] is not None
        assert words in rig.problems[-1]
    eventually(lambda: works(session), "the network")
    assert rig.problems[-1] is None


def test_foreign_address_is_told(rig: Rig) -> None:
    """An address that is not of this machine is told in words."""
    session = rig.networks.join(Local(address="192.0.2.1/24"), Target(5), lambda: None)
    assert failed(session.find, 10.0).message == "192.0.2.1 is no address of this machine"


def test_wrong_mask_is_told(rig: Rig) -> None:
    """A mask by which the broadcast address would be none of this machine's is told, with what to write."""
    host = _address_on_a_network()
    session = rig.networks.join(Local(address=f"{host}/30"), Target(5), lambda: None)
    words = failed(session.find, 10.0).message
    assert f"is no broadcast address of this machine: write {host} with the prefix of its network" in words


def _address_on_a_network() -> str:
    """An address of this machine that is not of the loopback interface, where each address is local."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine is on no network")
        return str(probe.getsockname()[0])


def test_child_that_still_starts_is_ended_at_once(rig: Rig) -> None:
    """A gateway that stops just after its start does not wait for the BACnet process to be ready."""
    rig.join()
    eventually(lambda: rig.networks._networks and rig.child_pid(), "the process")
    first, began = rig.pid, time.monotonic()
    assert rig.networks.stop(10.0) == []
    assert time.monotonic() - began < 0.5 * PATIENCE
    assert not alive(first)


def test_child_ends_with_the_last_session_and_leaves_the_port(rig: Rig) -> None:
    """When nobody uses a network any more its process ends, and another session starts another."""
    session = rig.join()
    session.find(20.0)
    first = rig.pid
    session.leave()
    eventually(lambda: not alive(first), "the end of the process")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", rig.port))
    eventually(lambda: works(rig.join()), "another process")
    assert [problem for problem in rig.problems if problem] == []


def test_session_that_comes_as_the_process_ends_gets_the_next_one(rig: Rig) -> None:
    """A process that nobody needed has just been told to end: whoever comes now waits for another, and nothing is wrong."""
    session = rig.join()
    session.find(20.0)
    first = rig.pid
    session.leave()
    (network,) = rig.networks._networks.values()
    assert network._life is not None
    network._life.finish()
    rig.join().find(20.0)
    assert not alive(first)
    assert [problem for problem in rig.problems if problem] == []


GATEWAY = """
import sys
from gateway.clock import SystemClock
from gateway.interfaces._bacnet.life import Options
from gateway.interfaces._bacnet.networks import BacnetNetworks
from gateway.interfaces._bacnet.values import Local, Target
networks = BacnetNetworks(Options(address="127.0.0.1/8", port=int(sys.argv[1])), SystemClock())
session = networks.join(Local(), Target(1), lambda: None)
networks.who_is(Local(), 1, 1, None, 0.1)
(network,) = networks._networks.values()
print("\\nchild", network._life._child.process.pid, flush=True)
sys.stdin.read()
"""


def test_child_ends_when_the_gateway_is_killed() -> None:
    """After kill -9 of the gateway no BACnet process is left."""
    command = [sys.executable, "-c", GATEWAY, str(free_udp_port())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        child = int(next(line for line in gateway.stdout if line.startswith("child")).split()[1])
        assert alive(child)
        gateway.kill()
    eventually(lambda: not alive(child), "the end of the child")


def test_write_that_waits_does_not_outlive_its_deadline(rig: Rig) -> None:
    """A write behind a request that is not answered ends at its deadline, and does not leave when its turn would come."""
    session = rig.join()
    session.find(20.0)
    rig.simulator.freeze()  # type: ignore[attr-defined]
    reading = threading.Thread(target=lambda: failed(session.read, [Ref(AV, 2)], timeout=2.0, retries=0))
    reading.start()
    time.sleep(0.2)  # until the read is on the wire
    began = time.monotonic()
    late = failed(session.write, Ref(AV, 1), "real", 9.0, 8, deadline=SystemClock().now() + 0.5, timeout=5.0)
    assert late.kind == "not_sent"
    assert time.monotonic() - began < 1.5 * PATIENCE
    reading.join()
    rig.simulator.thaw()  # type: ignore[attr-defined]
    eventually(lambda: works(session), "the device")
    assert session.read([Ref(AV, 1, 87, 8)]) == [Item("null", None)]


def test_hostile_packets_change_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of random and broken packets at the port: requests are answered on, and the log is not filled."""
    session = rig.join()
    session.find(20.0)
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(3000):
            sender.sendto(_packet(chance), ("127.0.0.1", rig.port))
            if number % 500 == 0:
                eventually(lambda: works(session), "an answer")  # packets get lost when so many come
    assert [problem for problem in rig.problems if problem] == []
    assert len(caplog.records) < 60


def _packet(chance: random.Random) -> bytes:
    """Noise, noise behind a good beginning, or an answer that nobody asked for."""
    noise = chance.randbytes(chance.randrange(1, 60))
    npdu = bytes([1, chance.choice([0, 4, 0x20, 0x28, 0x80])]) + noise
    apdu = bytes([chance.choice([0x00, 0x10, 0x20, 0x30, 0x3C, 0x40, 0x50, 0x60, 0x70])]) + noise
    body = chance.choice([noise, npdu, b"\x01\x00" + apdu, b"\x01\x04" + apdu])
    bvll = chance.choice([b"\x81\x0a", b"\x81\x0b", b"\x81" + chance.randbytes(1)])
    return chance.choice([noise, bvll + (len(body) + 4).to_bytes(2) + body])


def test_orders_of_strangers_are_refused(rig: Rig) -> None:
    """Nobody can change our stack over the network: a write to its device object is answered with an error."""
    session = rig.join()
    session.find(20.0)
    timeout_of_requests = Ref(8, Options().device_id, 11)
    apdu = bytes.fromhex("0104 00050f0f".replace(" ", "")) + write_request(timeout_of_requests, "unsigned", 1, None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.settimeout(10)
        stranger.bind(("127.0.0.13", 0))
        stranger.sendto(b"\x81\x0a" + (len(apdu) + 4).to_bytes(2) + apdu, ("127.0.0.1", rig.port))
        answer = stranger.recv(100)
    assert answer[6] >> 4 == 5, "an error"
    assert works(session)


def test_dead_devices_cost_the_living_nothing(rig: Rig) -> None:
    """While 80 devices that are not there are asked all the time, one that is there answers as fast as ever."""
    living = rig.join()
    living.find(20.0)
    over = threading.Event()

    def ask(session: BacnetSession) -> None:
        while not over.is_set():
            failed(session.find, 0.3)
            failed(session.read, [Ref(AV, 1)], timeout=1.0)

    dead = [threading.Thread(target=ask, args=(rig.join(f"127.0.1.{number}"),)) for number in range(1, 81)]
    for thread in dead:
        thread.start()
    time.sleep(0.5)
    took = []
    for _ in range(40):
        began = time.monotonic()
        assert living.read([Ref(AV, 1)], timeout=5.0) == [Item("real", 1.5)]
        took.append(time.monotonic() - began)
    over.set()
    for thread in dead:
        thread.join(20)
    took.sort()
    print(f"median {took[20] * 1e3:.1f} ms, longest {took[-1] * 1e3:.1f} ms")
    assert took[20] < 0.05 * PATIENCE
