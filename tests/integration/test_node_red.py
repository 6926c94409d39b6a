"""The flow that the project ships, in a real Node-RED, against a whole gateway.

Node-RED is looked for in ``NODE_PATH``: ``npm install --prefix DIR node-red@4.1`` and ``NODE_PATH=DIR/node_modules``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import child, localbroker
from tests.integration.brokers import OwnBroker
from tests.integration.client import TestClient
from tests.integration.documents import fake, point
from tests.integration.process import GatewayProcess
from tests.integration.waiting import eventually
from tests.lacking import lacking
from tests.markdown import ROOT

FLOW = ROOT / "docs" / "samples" / "node-red" / "flow.json"
DEVICE = "demo/office/ahu1"
_ENTRY = re.compile(r"^\d+ \w+ [\d:]+ - \[\w+\] ", re.MULTILINE)
SETTINGS = """\
module.exports = {{
    flowFile: "flow.json", userDir: {directory}, credentialSecret: false,
    uiHost: "127.0.0.1", uiPort: {port}, disableEditor: true,
    telemetry: {{ enabled: false }}, externalModules: {{ palette: {{ allowInstall: false }} }},
}};
"""


@pytest.fixture
def program() -> Path:
    """Node-RED's main file."""
    places = [Path(place) / "node-red" / "red.js" for place in os.environ.get("NODE_PATH", "").split(os.pathsep) if place]
    found = [place for place in places if place.exists()]
    if shutil.which("node") is None or not found:
        lacking("node, with the package node-red in NODE_PATH")
    return found[0]


class NodeRed:
    """Node-RED with the flow, no editor; ``press`` is what a click on an inject node does."""

    def __init__(self, program: Path, directory: Path, broker: OwnBroker) -> None:
        self._port = localbroker.free_port()
        nodes = json.loads(FLOW.read_text())
        for node in nodes:
            node |= {"port": str(broker.port)} if node["type"] == "mqtt-broker" else {}
            node |= {"console": True} if node["type"] == "debug" else {}  # its sidebar is in the log then
        (directory / "flow.json").write_text(json.dumps(nodes))
        settings = directory / "settings.js"
        settings.write_text(SETTINGS.format(directory=json.dumps(str(directory)), port=self._port))
        command = ["node", str(program), "--settings", str(settings)]
        self._child = child.start("node-red", command, directory / "node-red.log")

    def press(self, node: str) -> None:
        """Inject."""
        request = urllib.request.Request(f"http://{localbroker.HOST}:{self._port}/inject/{node}", b"", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def shown(self, node: str) -> list[str]:
        """What the debug sidebar has from a node."""
        entries = _ENTRY.split(self.log())
        return [entry.partition("]")[2].strip() for entry in entries if entry.startswith(f"[debug:{node}]")]

    def log(self) -> str:
        """All that it has written."""
        assert self._child.ended() is None, self._child.ended()
        return self._child.log.read_text(errors="replace")

    def stop(self) -> None:
        """End it."""
        self._child.stop()


@pytest.fixture
def running(program: Path, own_broker: Callable[..., OwnBroker], tmp_path: Path) -> Iterator[tuple[NodeRed, TestClient]]:
    """Node-RED and a client on a broker with a gateway, that runs the device of the demo."""
    broker = own_broker()
    (tmp_path / "state").mkdir()
    edge = GatewayProcess(tmp_path, {"gateway_id": "edge", "broker": {"url": str(broker.url)}}).start()
    client = TestClient(broker.url)
    client.subscribe("rpc/#", "replies/#", "devices/#", "actuator/#")
    client.publish(f"config/devices/{DEVICE}", fake(point("Setpoint", start="21")), retain=True)
    client.online(DEVICE)
    (tmp_path / "node-red").mkdir()
    node_red = NodeRed(program, tmp_path / "node-red", broker)
    try:
        eventually(lambda: "Connected to broker" in node_red.log(), "Node-RED is on the broker", 30)
        yield node_red, client
    finally:
        node_red.stop()
        client.close()
        edge.stop()


def test_the_flow_reads_writes_and_leases(running: tuple[NodeRed, TestClient]) -> None:
    """Each button sends its request with MQTT 5's properties, and the answer, or the refusal, is in the sidebar."""
    node_red, client = running

    def pressed(node: str) -> Any:
        """The answer to what the button asks for."""
        mark = client.mark()
        node_red.press(node)
        asked = client.wait_for("rpc/nodered/#", after=mark)
        answer = client.wait_for("replies/nodered/flow", after=mark)
        assert asked.correlation
        assert answer.correlation == asked.correlation
        assert asked.expiry
        return answer.json

    assert pressed("gwget") == {"result": 21.0}
    eventually(lambda: node_red.shown("result") == ["21"], "the value in the sidebar")
    assert pressed("gwset") == {"result": 22.5}
    assert client.request(f"rpc/ops/set_point/{DEVICE}/Setpoint", b"20").result == 20
    lease = pressed("gwacquire")["result"]
    held = client.wait_for(f"actuator/leases/{DEVICE}", lambda m: m.payload).json
    assert (held["holder"], held["task_id"]) == ("nodered", lease["task_id"])
    assert client.request(f"rpc/ops/set_point/{DEVICE}/Setpoint", b"20").error["code"] == "leased_by_other"
    assert pressed("gwset") == {"result": 22.5}
    assert pressed("gwrelease") == {"result": None}
    eventually(lambda: client.request(f"rpc/ops/get_point/{DEVICE}/Setpoint").result == 21, "the value is given back")
    assert pressed("gwrelease")["error"]["code"] == "lease_lost"
    eventually(lambda: len(node_red.shown("result")) == 5, "five results in the sidebar")
    [refusal] = eventually(lambda: node_red.shown("refusal"), "a refusal in the sidebar")
    assert "lease_lost" in refusal
