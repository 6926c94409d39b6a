"""The rules of the house that no type checker holds: who may import what, who knows what, and what belongs together."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import driver, testing
from gateway.interfaces import own_types
from gateway.interfaces.base import Environment
from gateway.store.compile import compile_device

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "gateway").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FOUNDATION = {
    f"gateway.{name}" for name in ("model", "errors", "values", "allow", "clock", "child", "backoff", "suggest", "vitals")
}
BACNET_STACK = {p.relative_to(ROOT).as_posix() for p in SOURCES if p.parent.name == "stack"}
RULES = tuple(f"actuator.{name}" for name in ("model", "requests", "tasks", "ledger", "leases", "overrides"))
PURE = ("topics", "payloads", "schedule", "interfaces", *RULES, *sorted(FOUNDATION))
"""Modules and packages that know the foundation, and within a package each other."""

TOPIC_ROOT = re.compile(r"(?<![\w/.-])(config|devices|rpc|replies|actuator|gateways)/")
RUNS_CODE = {"eval", "exec", "__import__", "import_module"}
CODE_MODULES = {"pickle", "marshal", "shelve", "dill", "yaml"}
"""Modules whose reading can run code; ruamel.yaml is used in its safe way, in yamlfile.py alone."""
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}


def place(path: Path) -> str:
    """A file as the rules name it."""
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    """The dotted name of a source file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.AST) -> set[str]:
    """Every module that is imported anywhere in a file, in functions too; ``from gateway import x`` is gateway.x."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "gateway":
            names |= {f"gateway.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


def importers(package: str) -> set[str]:
    """The source files that import a package or a part of it."""
    return {place(p) for p in SOURCES if any(n == package or n.startswith(package + ".") for n in imported(parsed(p)))}


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), str(path))


def docstrings(tree: ast.AST) -> set[int]:
    """The identities of the constants that are docstrings, or texts that stand below a name as its docstring."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}


def topic_texts(tree: ast.AST) -> Iterator[str]:
    """The texts in a file, docstrings left out, that hold the root of a topic."""
    known = docstrings(tree)
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in known else None
        if isinstance(text, str) and TOPIC_ROOT.search(text):
            yield text


def code_runners(tree: ast.AST) -> set[str]:
    """The names in a file by which text or data would become code."""
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    named |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in RUNS_CODE - {"exec"}}
    named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return (named & RUNS_CODE) | ({name.partition(".")[0] for name in imported(tree)} & CODE_MODULES)


def shells(tree: ast.AST) -> set[str]:
    """The calls in a file by which a shell would read a text."""
    called = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & SHELLS
    flags = (node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "shell")
    return called | {f"shell={ast.unparse(flag.value)}" for flag in flags if ast.unparse(flag.value) != "False"}


def strangers(name: str, tree: ast.AST) -> set[str]:
    """The parts of the gateway that a pure module imports and should not know."""
    package = ".".join(name.split(".")[:2]) + "."
    ours = {n for n in imported(tree) if n.startswith(("gateway", "."))}
    return {n for n in ours if n not in FOUNDATION and not n.startswith(package)}


def is_pure(name: str) -> bool:
    """Whether a module is one of those that know only the foundation."""
    return any(name == f"gateway.{p}" or name == p or name.startswith(f"gateway.{p}.") for p in PURE)


PURE_SOURCES = [path for path in SOURCES if is_pure(module(path))]


@pytest.mark.parametrize("path", PURE_SOURCES, ids=place)
def test_imports_point_one_way(path: Path) -> None:
    """Interfaces and the pure modules know the foundation and their own package, nothing of the rest."""
    assert strangers(module(path), parsed(path)) == set()


def test_rule_of_imports_covers_what_it_should() -> None:
    """The rule looks at the drivers and the pure modules, sees each way to import, and would refuse the broker."""
    assert {"gateway.topics", "gateway.payloads", "gateway.interfaces.fake", "gateway.values"} <= set(
        map(module, PURE_SOURCES)
    )
    source = "import gateway.broker\nfrom gateway import model, app\ndef f():\n    from .manager import Manager\n"
    assert strangers("gateway.topics", ast.parse(source)) == {"gateway.broker", "gateway.app", ".manager"}
    assert strangers("gateway.interfaces.fake", ast.parse("from gateway.interfaces.base import Batch")) == set()


@pytest.mark.parametrize(
    ("package", "owners"),
    [
        ("paho", {"gateway/broker/client.py", "gateway/cli/mqttclient.py"}),
        ("pymodbus", {"gateway/cli/demo/simulator.py"}),
        *((name, BACNET_STACK) for name in ("BAC0", "bacpypes3")),
    ],
)
def test_each_protocol_library_has_its_importer(package: str, owners: set[str]) -> None:
    """The MQTT library is known to the gateway's link and the command line's client, the Modbus library to the simulator."""
    assert importers(package) <= owners


def test_tests_of_drivers_are_no_part_of_what_runs() -> None:
    """Only gateway.testing imports pytest, and nothing else of the gateway imports gateway.testing."""
    users = {path for package in ("pytest", "gateway.testing") for path in importers(package)}
    assert users == {"gateway/testing/__init__.py", "gateway/testing/contract.py"}


def test_the_example_imports_what_is_promised_alone() -> None:
    """A driver in a package of its own needs gateway.driver, its tests gateway.testing; what these promise is there."""
    names = {name for path in (ROOT / "examples").rglob("*.py") for name in imported(parsed(path))}
    assert {name for name in names if name.partition(".")[0] == "gateway"} == {"gateway.driver", "gateway.testing"}
    assert [name for module in (driver, testing) for name in module.__all__ if not hasattr(module, name)] == []


def test_only_topics_holds_the_roots_of_topics() -> None:
    """No text outside of topics.py has a topic in it."""
    found = {place(path): list(topic_texts(parsed(path))) for path in SOURCES if path.name != "topics.py"}
    assert {path: texts for path, texts in found.items() if texts} == {}


def test_rule_of_topics_sees_them() -> None:
    """Plain and formatted texts are seen, docstrings and links are not topics."""
    source = '"""devices/x"""\na = "rpc/a"\nb = f"{p} config/{x}"\nc = "config://x"\nd = "x/devices/y"\n'
    assert list(topic_texts(ast.parse(source))) == ["rpc/a", " config/"]


def test_no_text_becomes_code() -> None:
    """Nothing is evaluated, unpickled or imported by a name at run time, but for the drivers in interfaces/__init__.py."""
    found = {place(path): code_runners(parsed(path)) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == {"gateway/interfaces/__init__.py": {"import_module"}}


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "exec('1')",
        "__import__('x')",
        "import pickle",
        "from pickle import loads",
        "importlib.import_module(x)",
        "import yaml",
    ],
)
def test_rule_of_code_sees_it(source: str) -> None:
    """Each of the ways to make code of text is seen."""
    assert code_runners(ast.parse(source))


def test_no_shell_reads_a_text() -> None:
    """No command goes through a shell, and one module alone reads YAML."""
    assert {place(path): found for path in SOURCES if (found := shells(parsed(path)))} == {}
    assert importers("ruamel") == {"gateway/yamlfile.py"}


@pytest.mark.parametrize("source", ["os.system('ls')", "os.popen(x)", "subprocess.run(x, shell=True)", "run(x, shell=y)"])
def test_rule_of_shells_sees_it(source: str) -> None:
    """Each of the ways to a shell is seen."""
    assert shells(ast.parse(source))


@pytest.mark.parametrize("driver", own_types())
def test_each_driver_has_a_page(driver: str) -> None:
    """A driver is documented in docs/drivers, under its own name."""
    assert (ROOT / "docs" / "drivers" / f"{driver}.md").read_text().startswith(f"# Driver `{driver}`")


@pytest.mark.parametrize("driver", own_types())
def test_each_driver_has_a_sample_that_compiles(driver: str, env: Environment) -> None:
    """The sample of a driver is a device config with its registry, without a fault or a warning."""
    folder = ROOT / "docs" / "samples" / driver
    documents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "device.json"}
    verdict = compile_device("C/B/D", (folder / "device.json").read_bytes(), documents, env, None)
    assert (verdict.errors, verdict.warnings) == ((), ())
    assert verdict.spec is not None
    assert (verdict.spec.driver_type, set(verdict.links)) == (driver, set(documents))
    assert verdict.spec.registers


@pytest.mark.parametrize("path", TESTS, ids=place)
def test_each_test_says_what_it_shows(path: Path) -> None:
    """Every test function has a docstring."""
    functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    silent = [node.name for node in functions if node.name.startswith("test") and not ast.get_docstring(node)]
    assert silent == []
