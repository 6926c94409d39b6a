"""Fuzz one target, led by what the inputs reach: ``python -m tests.fuzz.run TARGET SECONDS``.

It needs atheris, which is not among the locked packages, as it is there for Linux on x86_64 only. It begins with the corpus
of the target and with what earlier runs have reached, which is in ``.fuzz/TARGET``. What it finds is written to ``.fuzz``;
once that is mended, it belongs into the corpus.
"""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("this needs atheris (Linux on x86_64): .venv/bin/pip install atheris")

with atheris.instrument_imports(include=["gateway"]):
    from tests.fuzz.targets import TARGETS

from tests.fuzz.inputs import CORPUS


def main(name: str, seconds: str) -> None:
    """Fuzz a target so long (seconds)."""
    if name not in TARGETS:
        sys.exit(f"there is no target {name!r}: {', '.join(TARGETS)}")
    reached = Path(".fuzz", name)
    reached.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-max_len=8192"]
    places = [f"-artifact_prefix=.fuzz/{name}-", str(reached), str(CORPUS / name)]
    atheris.Setup([sys.argv[0], *limits, *places], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
