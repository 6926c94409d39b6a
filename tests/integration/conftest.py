"""Fixtures for tests of a whole gateway on a real broker.

``site`` and what comes from it belong to one test. ``house`` is a site with one running gateway for a whole module: its
tests use device paths of their own (``path``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.conftest_broker import Broker, broker, pytest_report_header
from tests.integration.brokers import own_broker
from tests.integration.client import Received, TestClient
from tests.integration.process import GatewayProcess
from tests.integration.proxy import proxy
from tests.integration.site import Site
from tests.integration.wallclock import set_clock

__all__ = ["broker", "own_broker", "proxy", "pytest_report_header", "set_clock"]

LOG_SHOWN = 10_000
_numbers = count()


@pytest.fixture
def site(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The test's own clients and gateways."""
    with Site(broker, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def house(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with one client and one gateway that runs, for all tests of a module."""
    with Site(broker, tmp_path_factory.mktemp("house")) as site:
        client = site.connect()
        edge = site.gateway()
        client.wait_for(f"gateways/{edge.id}/status", lambda m: m.json["state"] == "online")
        yield site


@pytest.fixture
def path() -> str:
    """A device path that no other test uses."""
    return f"C/B/D{next(_numbers)}"


@pytest.fixture
def prefix(site: Site) -> str:
    """The test's own beginning of every topic."""
    return site.prefix


@pytest.fixture
def connect(site: Site) -> Callable[..., TestClient]:
    """Makes clients: ``connect(version=5, *, url=None, outputs=True)``."""
    return site.connect


@pytest.fixture
def client(site: Site) -> TestClient:
    """An MQTT 5 client that hears all that gateways say."""
    return site.connect()


@pytest.fixture
def kept(site: Site) -> Callable[..., dict[str, Received]]:
    """``kept("devices/#")``: what the broker retains at this moment, by topic."""
    return site.kept


@pytest.fixture
def gateway(site: Site) -> Callable[..., GatewayProcess]:
    """Starts gateways: ``gateway(name="edge", *, start=True, url=None, **settings)``; the id is ``<prefix>-<name>``.

    In the end each is stopped, and a traceback in its log is a failure unless ``expects_traceback`` is set.
    """
    return site.gateway


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the logs of the gateways with a test that failed."""
    report = yield
    if report.failed:
        for site in (value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Site)):
            report.sections += [(f"log of {process.id}", process.log_text()[-LOG_SHOWN:]) for process in site.gateways]
    return report
