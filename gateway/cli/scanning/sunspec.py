"""``gateway scan sunspec``: the models of a SunSpec device, and a config and registry with all their points."""

from __future__ import annotations

import time

from rich.console import Console
from rich.table import Table as Grid

from gateway.cli.importing.command import FAILED, LOST, OK, deliver
from gateway.cli.importing.model import Device, ImportFault, Names, Result
from gateway.cli.scanning.chain import Chain, NoChain, find_base, walk
from gateway.cli.scanning.line import Line
from gateway.cli.scanning.models import Models, NoModels
from gateway.cli.scanning.options import BadOption, Link, Output
from gateway.cli.scanning.points import map_model
from gateway.cli.scanning.telling import STOPPED, complain
from gateway.errors import Unreachable

COMMONLY = 60
"""The interval that is written, in seconds."""


def scan(link: Link, unit: int, pause: float, everything: bool, output: Output) -> int:
    """Read the chain of a device, show it, and write its documents; the exit code.

    0 if all went well, 1 if something of the device is not in the documents, 2 if it is no SunSpec device, can not be
    reached, or nothing could be written, 130 after Ctrl-C.
    """
    try:
        link.check()
        models = Models()
        models.get(1)
        chain = _read(link, unit, pause)
        result, grid = mapped(chain, models, f"{link.name}_{unit}", link.driver_config | {"slave_id": unit}, everything)
        Console().print(grid)
        return _deliver(result, output)
    except (BadOption, NoChain, NoModels, Unreachable, ImportFault, OSError) as error:
        complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        complain("stopped: nothing was written")
        return STOPPED


def _read(link: Link, unit: int, pause: float) -> Chain:
    """The chain of a device. Raises NoChain, Unreachable."""
    line = Line(link.wire(), pause, time.sleep)
    try:
        chain = Chain(find_base(line, unit))
        walk(line, unit, chain)
        return chain
    finally:
        line.close()


def _deliver(result: Result, output: Output) -> int:
    if output.folder is not None:
        return deliver(result, output.folder, output.under, output.force, complain, complain)
    for remark in result.remarks:
        complain(f"{remark.where}: {remark.text}")
    return LOST if any(remark.lost for remark in result.remarks) else OK


def mapped(
    chain: Chain, models: Models, name: str, driver_config: dict[str, object], everything: bool
) -> tuple[Result, Grid]:
    """The device with the points of all models, and a table of the models."""
    result, names = Result(), Names()
    device = Device(name, driver_config, {"interval": COMMONLY})
    result.devices.append(device)
    grid = Grid("model", "name", "address", "registers", "points", "not implemented")
    for text in chain.remarks:
        result.lost(name, text)
    for model in chain.models:
        group = models.get(model.number)
        cells = (str(model.number), group["name"] if group else "?", str(model.address), str(model.length))
        if group is None:
            result.lost(f"model {model.number} at {model.address}", "is in no description: see its maker's manual")
            grid.add_row(*cells, "", "")
            continue
        found = map_model(group, model, names, everything)
        device.rows += found.rows
        for where, text in found.lost:
            result.lost(where, text)
        if found.absent:
            result.note(group["name"], f"not implemented by the device, left out: {', '.join(found.absent)}")
        grid.add_row(*cells, str(len(found.rows)), str(len(found.absent)))
    return result, grid
