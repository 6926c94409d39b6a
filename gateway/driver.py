"""What a driver in a package of its own imports; nothing else of the gateway is promised to stay as it is.

How to write one is told in docs/how-to/write-a-driver.md and in the docstring of ``gateway.interfaces.base``. Its tests
import from ``gateway.testing``.
"""

from __future__ import annotations

from gateway.clock import Clock
from gateway.errors import (
    BadValue,
    ConfigFault,
    DeadlinePassed,
    NotSent,
    NotTaken,
    OutOfRange,
    ReadOnly,
    Rejected,
    Transient,
    Unreachable,
)
from gateway.interfaces._links import Line, Pace, Seat, Share
from gateway.interfaces._ports import (
    LINE_KEYS,
    Baudrate,
    Bytesize,
    Parity,
    Place,
    Rs485,
    Stopbits,
    Word,
    character,
    check_allowed,
    endpoint,
)
from gateway.interfaces._serial import LineSettings, SerialStream
from gateway.interfaces._streams import Stream, TcpStream, TlsFiles, TlsStream, UdpStream, words
from gateway.interfaces.base import (
    MAX_INTERVAL,
    MIN_INTERVAL,
    Batch,
    DriverConfig,
    Environment,
    Flag,
    GiveWay,
    Interface,
    MaySend,
    RegistryRow,
    Split,
    Use,
    shared,
    text_value,
)
from gateway.model import Masked, PointError, Quality, Register, Scalar, Taken

__all__ = [
    "LINE_KEYS",
    "MAX_INTERVAL",
    "MIN_INTERVAL",
    "BadValue",
    "Batch",
    "Baudrate",
    "Bytesize",
    "Clock",
    "ConfigFault",
    "DeadlinePassed",
    "DriverConfig",
    "Environment",
    "Flag",
    "GiveWay",
    "Interface",
    "Line",
    "LineSettings",
    "Masked",
    "MaySend",
    "NotSent",
    "NotTaken",
    "OutOfRange",
    "Pace",
    "Parity",
    "Place",
    "PointError",
    "Quality",
    "ReadOnly",
    "Register",
    "RegistryRow",
    "Rejected",
    "Rs485",
    "Scalar",
    "Seat",
    "SerialStream",
    "Share",
    "Split",
    "Stopbits",
    "Stream",
    "Taken",
    "TcpStream",
    "TlsFiles",
    "TlsStream",
    "Transient",
    "UdpStream",
    "Unreachable",
    "Use",
    "Word",
    "character",
    "check_allowed",
    "endpoint",
    "shared",
    "text_value",
    "words",
]
