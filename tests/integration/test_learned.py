"""What is found out about a device, and points with intervals of their own, as a subscriber sees them."""

from __future__ import annotations

from tests.integration.documents import fake as fake_device
from tests.integration.documents import modbus, point, register
from tests.integration.site import Site
from tests.interfaces.modbus.servers import ScriptedServer, reply

LONGEST, MISSING = 10, 13


def stubborn(request: bytes) -> list[bytes]:
    """A device that reads at most ten registers at a time, and lacks number 13."""
    start, count = int.from_bytes(request[8:10], "big"), int.from_bytes(request[10:12], "big")
    if count > LONGEST or start <= MISSING < start + count:
        return [reply(request, b"\x83\x02")]
    return [reply(request, bytes([3, 2 * count]) + b"".join(n.to_bytes(2, "big") for n in range(start, start + count)))]


def asked(server: ScriptedServer) -> set[tuple[int, int]]:
    """First address and count of each request so far."""
    return {(int.from_bytes(r[8:10], "big"), int.from_bytes(r[10:12], "big")) for r in server.requests}


def test_what_was_learned_survives_a_restart(site: Site):
    """What a device refuses stands in meta, and is not asked for again, after a restart too, until its map changes."""
    path = "C/B/stubborn"
    edge, client = site.gateway(), site.connect()
    rows = [register(f"r{n}", n) for n in range(30)]
    with ScriptedServer(stubborn) as server:
        client.publish(f"config/devices/{path}", modbus(server.port, *rows), retain=True)
        first = client.wait_for(f"devices/{path}/all").json
        assert first["values"] == {f"r{n}": n for n in range(30) if n != MISSING}
        assert first["errors"].keys() == {f"r{MISSING}"}
        learned = [f"holding {MISSING}: refused", "holding 0-10: too long, 10 are not"]
        client.wait_for(f"devices/{path}/meta", lambda m: bool(m.payload) and m.json["learned"] == learned)
        edge.stop()

        server.requests.clear()
        start = client.mark()
        edge.start()
        client.wait_for(f"devices/{path}/all", after=start)
        assert site.kept(f"devices/{path}/meta")[f"devices/{path}/meta"].json["learned"] == learned
        assert asked(server) == {(0, 10), (10, 3), (13, 1), (14, 10), (24, 6)}

        start = client.mark()
        client.publish(f"config/devices/{path}", modbus(server.port, *rows[:9]), retain=True)
        client.wait_for(f"devices/{path}/meta", lambda m: bool(m.payload) and m.json["learned"] == [], after=start)


def test_points_with_intervals_of_their_own(site: Site):
    """A slow point is in the first reading and in those in which it is due; its retained topic lives as long as it may."""
    path = "C/B/mixed"
    site.gateway()
    client = site.connect()
    rows = [point("fast"), point("slow", Interval="1")]
    client.publish(
        f"config/devices/{path}", fake_device(*rows, interval=0.1, retain=True, publish_depth_first=True), retain=True
    )
    client.wait_for(f"devices/{path}/all", lambda m: len(client.messages(f"devices/{path}/all")) > 25)
    readings = [set(m.json["values"]) for m in client.messages(f"devices/{path}/all")]
    assert readings[0] == {"fast", "slow"}
    assert all("fast" in names for names in readings)
    assert 2 <= sum("slow" in names for names in readings[1:26]) <= 3
    assert client.online(path)["points"] == {"ok": 2, "failed": 0}
    expiry = {leaf: client.wait_for(f"devices/{path}/{leaf}").expiry for leaf in ("all", "fast", "slow")}
    assert expiry == {"all": 3, "fast": 1, "slow": 3}
    assert site.kept(f"devices/{path}/meta")[f"devices/{path}/meta"].json["points"]["slow"]["interval"] == 1
