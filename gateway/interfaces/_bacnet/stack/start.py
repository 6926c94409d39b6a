"""Starts the BACnet stack: BAC0 brings it up, and what would leak out of it, or let strangers in, is stopped here."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import random
from typing import Any

from bacpypes3.apdu import APDU
from bacpypes3.app import Application
from bacpypes3.errors import ExecutionError

from gateway.interfaces._bacnet.stack.exchange import guard_the_way_out, leave_answers_encoded

SEGMENT_TIMEOUT_MS = 4000
NEVER_MS = 3_600_000
"""The stack's own timeout of a request: ``Exchange`` keeps the time."""
REFUSED_SERVICES = (
    "do_WritePropertyRequest",
    "do_WritePropertyMultipleRequest",
    "do_DeviceCommunicationControlRequest",
    "do_ReinitializeDeviceRequest",
)
"""By which others could change or silence us. We are a client: our own objects are only read."""


async def started(options: dict[str, Any]) -> Application:
    """The stack with our device object, bound to its port.

    ``options``: address, port, device_id, device_name, vendor_id, vendor_name, model_name, version, bbmd, bbmd_ttl,
    max_apdu.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        lite = _imported()
        network = lite(
            ip=options["address"],
            port=options["port"],
            deviceId=options["device_id"],
            localObjName=options["device_name"],
            vendorId=options["vendor_id"],
            modelName=options["model_name"],
            ping=False,
            **({"bbmdAddress": options["bbmd"], "bbmdTTL": options["bbmd_ttl"]} if options["bbmd"] else {}),
        )
    app: Application = network.this_application.app
    _quieten()
    await _bound(app)
    _describe(app, options)
    _close_doors(app)
    guard_the_way_out(app)
    leave_answers_encoded(app)
    app.next_invoke_id = random.randrange(256)  # noqa: S311  # what comes late for another process must not fit
    app.i_am()
    return app


def _imported() -> Any:
    """BAC0's way to start; its loggers, which write to the terminal and to a file, made like all others."""
    from BAC0 import start

    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith("BAC0_Root"):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.WARNING)
    return start


def _quieten() -> None:
    """End what BAC0 does beside: it looks a hundred times a second whether the stack is up, and counts its tasks."""
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__qualname__", "").partition(".")[0] in ("Lite", "RecurringTask", "Task"):
            task.cancel()


async def _bound(app: Application) -> None:
    """Wait until its sockets are open: they are opened in tasks, and tried for ever."""
    for link in app.link_layers.values():
        await asyncio.gather(*link.server._transport_tasks)  # noqa: SLF001  # there is no other way to know


def _describe(app: Application, options: dict[str, Any]) -> None:
    device = app.device_object
    assert device is not None
    device.vendorName = options["vendor_name"]
    device.firmwareRevision = device.applicationSoftwareVersion = options["version"]
    device.maxApduLengthAccepted = options["max_apdu"]
    device.maxSegmentsAccepted = 64
    device.apduTimeout = NEVER_MS
    device.apduSegmentTimeout = SEGMENT_TIMEOUT_MS
    device.numberOfApduRetries = 0


def _close_doors(app: Application) -> None:
    async def refuse(apdu: APDU) -> None:
        raise ExecutionError(errorClass="security", errorCode="access-denied")

    for name in REFUSED_SERVICES:
        setattr(app, name, refuse)
