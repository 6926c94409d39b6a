"""A site for tests: clients and gateways below one prefix of topics, so that tests share a broker without meeting."""

from __future__ import annotations

import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from gateway.settings_types import BrokerUrl
from tests.conftest_broker import Broker
from tests.integration.client import Received, TestClient, clear_retained, retained
from tests.integration.process import GatewayProcess

OUTPUTS = ("devices/#", "gateways/#", "replies/#", "actuator/#")


class Site:
    """Made for one test or one module; used as a context manager. In the end it stops and clears all that is its own."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        self.broker = broker
        self.prefix = f"t{uuid.uuid4().hex[:10]}"
        self.clients: list[TestClient] = []
        self.gateways: list[GatewayProcess] = []
        self._directory = directory

    def connect(self, version: int = 5, *, url: BrokerUrl | None = None, outputs: bool = True) -> TestClient:
        """A new client; with ``outputs`` it hears all that gateways say."""
        url = url or (self.broker.url if version == 5 else self.broker.url_v4)
        self.clients.append(TestClient(url, self.prefix, version))
        if outputs:
            self.clients[-1].subscribe(*OUTPUTS)
        return self.clients[-1]

    def gateway(self, name: str = "edge", *, start: bool = True, url: str | None = None, **settings: Any) -> GatewayProcess:
        """A gateway with the id ``<prefix>-<name>`` and these settings."""
        directory = self._directory / f"{name}-{len(self.gateways)}"
        (directory / "state").mkdir(parents=True)
        given = {
            "gateway_id": f"{self.prefix}-{name}",
            "topic_prefix": self.prefix,
            "broker": {"url": url or str(self.broker.url)},
        }
        self.gateways.append(GatewayProcess(directory, given | settings))
        return self.gateways[-1].start() if start else self.gateways[-1]

    def kept(self, topic_filter: str = "#") -> dict[str, Received]:
        """What the broker retains at this moment, by topic."""
        return retained(self.broker.url, self.prefix, topic_filter)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self.gateways:
            process.stop()
        for client in self.clients:
            client.close()
        clear_retained(self.broker.url, self.prefix)
        failed = [p.id for p in self.gateways if "Traceback" in p.log_text() and not p.expects_traceback]
        assert not failed, f"a traceback in the log of {failed}:\n" + "\n".join(p.log_text() for p in self.gateways)
