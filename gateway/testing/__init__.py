"""For tests of drivers, the gateway's own and those of other packages: the behaviour suite, and what it needs.

``InterfaceContract`` is what every driver must do: subclass it and give it a ``peer``. Nothing of the gateway imports this.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("gateway.testing.contract")

from gateway.testing.contract import (  # noqa: E402  # after it is said that its asserts are to be explained
    InterfaceContract,
    Peer,
    checked_parts,
    poll,
    read_one,
    registers_of,
)
from gateway.testing.fakes import FakeClock, Gate  # noqa: E402  # as above

__all__ = ["FakeClock", "Gate", "InterfaceContract", "Peer", "checked_parts", "poll", "read_one", "registers_of"]
