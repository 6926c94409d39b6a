"""The commands of ``gateway scan``. What a command needs is imported when it is called, so that ``--help`` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

scans = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Host = Annotated[str | None, typer.Option(metavar="HOST", help="Where the device or its gateway is: IP address or name.")]
Port = Annotated[int | None, typer.Option(metavar="N", help="Its port (default 502; 802 with TLS).")]
Transport = Annotated[str | None, typer.Option(metavar="WORD", help="tcp (default), udp or tls.")]
Framing = Annotated[str | None, typer.Option(metavar="WORD", help="socket (default), or rtu or ascii over a network.")]
Serial = Annotated[str | None, typer.Option(metavar="PATH", help="A serial port in place of a host, as in /dev/ttyUSB0.")]
Baudrate = Annotated[int | None, typer.Option(metavar="N", help="Of the serial line (default 9600).")]
Parity = Annotated[str | None, typer.Option(metavar="WORD", help="Of the serial line: none (default), even or odd.")]
Stopbits = Annotated[float | None, typer.Option(metavar="N", help="Of the serial line: 1 (default) or 2.")]
Timeout = Annotated[float, typer.Option(metavar="SECONDS", min=0.01, max=60, help="How long to wait for an answer.")]
Pause = Annotated[float, typer.Option(metavar="SECONDS", min=0, max=60, help="How long to rest before each request.")]
Settings = Annotated[Path | None, typer.Option(metavar="FILE", help="Settings whose allow-lists say what may be asked.")]
Folder = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write a config and a registry for each device there.")
]
Under = Annotated[
    str, typer.Option(metavar="PATH", help="What stands before a device's name in its path: campus and building.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there with other content.")]

UNDER = "campus/building"
FIRST_WINDOW = 1024


@scans.callback()
def _about() -> None:
    """Find out what is on a link, by reading alone: nothing is ever written to a device.

    One request is under way at a time. Only devices in the allow-lists are asked, as by a gateway: those of --settings, or
    else private networks and serial ports.
    """


@scans.command()
def modbus(
    host: Host = None,
    port: Port = None,
    transport: Transport = None,
    framing: Framing = None,
    serial: Serial = None,
    baudrate: Baudrate = None,
    parity: Parity = None,
    stopbits: Stopbits = None,
    units: Annotated[str, typer.Option(metavar="LIST", help="Which units to ask, as in 1,5,10-20.")] = "1-247",
    addresses: Annotated[
        str | None, typer.Option(metavar="A-B", help="Which addresses to look at (default: where maps often are).")
    ] = None,
    step: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Where nothing is, ask at each Nth address.")] = 8,
    timeout: Timeout = 1,
    pause: Pause = 0,
    settings: Settings = None,
    output: Folder = None,
    under: Under = UNDER,
    force: Force = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output, in place of a table.")
    ] = False,
) -> None:
    """Find the units on a Modbus link, and what of each can be read.

    A unit counts as there if it answers a read of holding register 0, be it with a refusal. Each is then asked what it is
    (function 43), and which ranges of its four tables it lets be read. Ctrl-C ends it, and what was found until then is
    shown and written. The exit code is 0 if all went well, 1 if not all that was found could be written, 2 if nobody answers
    or nothing could be written, 130 after Ctrl-C.
    """
    from gateway.cli.scanning.modbus import scan
    from gateway.cli.scanning.options import BadOption, Output, numbers
    from gateway.cli.scanning.ranges import TOP, landmarks, starts
    from gateway.cli.scanning.units import Window

    line = {"baudrate": baudrate, "parity": parity, "stopbits": stopbits}
    link = _link(host, serial, settings, port=port, transport=transport, framing=framing, timeout=timeout, **line)
    try:
        wanted = numbers(units, "--units", 255)
        asked = numbers(addresses, "--addresses", TOP) if addresses else []
    except BadOption as fault:
        raise typer.BadParameter(str(fault)) from None
    if asked:
        window = Window(tuple(starts(asked[0], asked[-1], step)), asked[0], asked[-1])
    else:
        window = Window((*starts(0, FIRST_WINDOW - 1, step), *landmarks()), 0, TOP)
    where = Output(output, under, force)
    raise typer.Exit(scan(link, wanted, window, pause, where, as_json))


@scans.command()
def bacnet(
    local: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="This machine's address there, as in 192.168.1.10/24 or 192.168.1.10/24:47809."
        ),
    ] = None,
    bbmd: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A BBMD to register with, whose network is searched then.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only the device there: 10.0.0.5, 10.0.0.5:47809 or 5:12.")
    ] = None,
    devices: Annotated[str | None, typer.Option(metavar="A-B", help="Only device ids from A to B.")] = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="How long devices have to say that they are there.")
    ] = 5,
    timeout: Timeout = 3,
    pause: Pause = 0,
    settings: Settings = None,
    output: Folder = None,
    under: Under = UNDER,
    force: Force = False,
    ede: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all objects as an EDE file, too.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output, in place of a table.")
    ] = False,
) -> None:
    """Find the BACnet devices on a network, and what values each has.

    Devices are called by a broadcast (Who-Is), and each that answers is asked for its objects with their names, units, texts
    of states, and whether they can be commanded. The local address is that of --settings if --local does not name one; its
    UDP port must be free, so a gateway that runs there has to be stopped, or --local names another port. Ctrl-C ends it, and
    what was found until then is shown and written. The exit code is 0 if all went well, 1 if not all that was found could be
    written, 2 if nobody answers or nothing could be written, 130 after Ctrl-C.
    """
    from gateway.cli.scanning.bacnet import Search, scan
    from gateway.cli.scanning.bacnet_options import checked, networks, search_range
    from gateway.cli.scanning.options import BadOption, Output, allowed

    try:
        allow = allowed(settings)
        low, high = search_range(devices)
        search = Search(low, high, checked(address, allow), wait, timeout, pause)
        there = networks(settings, local, bbmd)
    except BadOption as fault:
        raise typer.BadParameter(str(fault)) from None
    raise typer.Exit(scan(there, search, allow, Output(output, under, force), ede, as_json))


@scans.command()
def sunspec(
    host: Host = None,
    port: Port = None,
    transport: Transport = None,
    framing: Framing = None,
    serial: Serial = None,
    baudrate: Baudrate = None,
    parity: Parity = None,
    stopbits: Stopbits = None,
    unit: Annotated[int, typer.Option(metavar="N", min=0, max=255, help="The unit of the device.")] = 1,
    everything: Annotated[bool, typer.Option("--all", help="Points too that the device does not implement.")] = False,
    timeout: Timeout = 2,
    pause: Pause = 0,
    settings: Settings = None,
    output: Folder = None,
    under: Under = UNDER,
    force: Force = False,
) -> None:
    """Read which SunSpec models a device has, and make a registry of their points.

    Inverters, meters and batteries of many makers describe themselves so. Each point gets its type, unit, scale factor, and
    the value that means "not implemented". Needs the extra "sunspec", which has the descriptions of the models. The exit
    code is 0 if all went well, 1 if something of the device is not in the registry, 2 if it is no SunSpec device or can not
    be reached, 130 after Ctrl-C.
    """
    from gateway.cli.scanning.options import Output
    from gateway.cli.scanning.sunspec import scan

    line = {"baudrate": baudrate, "parity": parity, "stopbits": stopbits}
    link = _link(host, serial, settings, port=port, transport=transport, framing=framing, timeout=timeout, **line)
    raise typer.Exit(scan(link, unit, pause, everything, Output(output, under, force)))


def _link(host: str | None, serial: str | None, settings: Path | None, **options: Any) -> Any:
    from gateway.cli.scanning.options import BadOption, Link, allowed

    if (host is None) == (serial is None):
        raise typer.BadParameter("give either --host or --serial")
    try:
        return Link({"device_address": host or serial} | options, allowed(settings))
    except BadOption as fault:
        raise typer.BadParameter(str(fault)) from None
