"""Whatever comes from outside is taken or refused with a reason, in little time and memory; never a failure of ours."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.hostile import WHOLE
from tests.fuzz.inputs import inputs, kept
from tests.fuzz.targets import TARGETS, frugally, promptly
from tests.integration.waiting import scaled

CASES = [pytest.param(name, data, id=f"{name}-{at}") for name in TARGETS for at, data in enumerate(kept(name))]
BEFORE = {"device": b"", "registry": b"\x01", "json_rpc": b"", "request": b"alice/set_points/C/B/D\n\n\n"}
LONG = [pytest.param(name, head + data, id=f"{name}-{at}") for name, head in BEFORE.items() for at, data in enumerate(WHOLE)]
DEEP = pytest.param("request", b'alice/get_point\n\n\n{"device": "C/B/' + b"z/" * 100_000 + b'"}', id="request-deep")


@pytest.mark.parametrize(("name", "data"), [*CASES, *LONG, DEEP])
def test_what_is_kept_passes(name: str, data: bytes) -> None:
    """Seeds, what a fuzzer has found once, and documents as long as may be: within 50 ms and 5 MB each."""
    promptly(TARGETS[name], data)
    frugally(TARGETS[name], data)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", TARGETS)
def test_hostile_bytes(name: str) -> None:
    """Bytes that look like what is expected, and some that do not: within 50 ms each, and in each 100th 5 MB."""
    tried = 0

    @settings(
        max_examples=scaled(22_000),
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(name))
    def run(data: bytes) -> None:
        nonlocal tried
        tried += 1
        (frugally if tried % 100 == 0 else promptly)(TARGETS[name], data)

    run()
    assert tried
