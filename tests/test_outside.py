"""Drivers of other packages: found, loaded on use, refused where they must be, and told in the status of the device."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import interfaces
from gateway.errors import ConfigFault
from gateway.interfaces.base import Environment
from gateway.interfaces.fake import Interface as Fake
from gateway.store.compile import Verdict, compile_device

GOOD = "from gateway.interfaces.fake import Interface as Fake\nclass Interface(Fake):\n    more = 1\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    """A folder of installed packages."""
    monkeypatch.syspath_prepend(tmp_path)
    yield Packages(tmp_path)
    for cached in (interfaces._outside, interfaces._loaded):
        cached.cache_clear()


class Packages:
    """Packages as pip leaves them, each with a driver in one module."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(self, package: str, driver: str, source: str, name: str = "Interface") -> None:
        """A package of one module."""
        sys.modules.pop(package, None)
        (self._folder / f"{package}.py").write_text(source)
        info = self._folder / f"{package}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[gateway.interfaces]\n{driver} = {package}:{name}\n")
        interfaces._outside.cache_clear()
        interfaces._loaded.cache_clear()


def judge(driver: str, env: Environment) -> Verdict:
    """The verdict on a device of that driver type."""
    row = {"Point Name": "t", "Volttron Point Name": "t", "Type": "float"}
    config = {"driver_type": driver, "driver_config": {}, "registry_config": [row]}
    return compile_device("C/B/D", json.dumps(config).encode(), {}, env, None)


def told(verdict: Verdict) -> str:
    """The one fault."""
    (fault,) = verdict.errors
    assert fault.where == "driver_type"
    return fault.message


def test_a_driver_of_another_package_is_one_like_ours(packages: Packages, env: Environment) -> None:
    """It is listed, loaded by its name, and a device runs on it."""
    packages.install("other", "outer", GOOD)
    assert "outer" in interfaces.driver_types()
    assert "outer" not in interfaces.own_types()
    assert issubclass(interfaces.load("outer"), Fake)
    spec = judge("outer", env).spec
    assert spec is not None
    assert (spec.driver_type, spec.interface) == ("outer", interfaces.load("outer"))


def test_it_is_loaded_on_use(packages: Packages, env: Environment) -> None:
    """To list the names imports nothing, and other devices do not need it."""
    packages.install("other", "outer", "raise SystemError('imported')")
    assert "outer" in interfaces.driver_types()
    assert judge("fake", env).spec is not None
    assert "other" not in sys.modules


def test_a_misspelt_name_is_suggested(packages: Packages, env: Environment) -> None:
    """The names of other packages stand among those that are known."""
    packages.install("other", "outer", GOOD)
    (fault,) = judge("outr", env).errors
    assert (fault.suggestion, "outer" in fault.message) == ("outer", True)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("raise RuntimeError('no licence')", "no licence"),
        ("def f(:\n", "invalid syntax"),
        ("raise SystemExit('enough')", "enough"),
        ("x = 1", "has no attribute 'Interface'"),
        ("Interface = dict", "other:Interface is no subclass of Interface"),
        ("def Interface(): ...", "other:Interface is no subclass of Interface"),
        (GOOD + "    Config = dict\n", "its Config is no DriverConfig"),
    ],
)
def test_one_that_can_not_be_loaded_is_told(packages: Packages, env: Environment, source: str, words: str) -> None:
    """The package, its version and the reason stand in the device's status, each time it is judged; the rest goes on."""
    packages.install("other", "outer", source)
    for _ in range(2):
        message = told(judge("outer", env))
        assert message.startswith('the driver "outer" of other 1.2 can not be loaded: ')
        assert words in message
    assert judge("fake", env).spec is not None


def test_a_name_of_ours_is_not_taken(packages: Packages, env: Environment) -> None:
    """A driver called as one of the gateway's own, or as an alias, is refused, which its devices are told."""
    packages.install("other", "fake", "raise SystemError('imported')")
    packages.install("another", "fakedriver", "raise SystemError('imported')")
    assert interfaces.load("fake") is Fake
    assert interfaces.load("fakedriver") is Fake
    for driver, package in (("fake", "other 1.2"), ("fakedriver", "another 1.2 and other 1.2")):
        verdict = judge(driver, env)
        assert verdict.spec is not None
        (warning,) = verdict.warnings
        assert (warning.where, warning.message) == (
            "driver_type",
            f"the one of {package} is not used: the name is taken by the gateway's own",
        )
    assert interfaces.refused("modbus") == ""


def test_two_packages_with_one_name_are_both_refused(packages: Packages, env: Environment) -> None:
    """Nobody guesses which is meant."""
    packages.install("other", "outer", GOOD)
    packages.install("another", "outer", GOOD)
    assert told(judge("outer", env)) == (
        'another 1.2 and other 1.2 each have a driver "outer": only one of them may be installed'
    )
    with pytest.raises(ConfigFault):
        interfaces.load("outer")
