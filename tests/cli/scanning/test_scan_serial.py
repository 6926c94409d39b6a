"""``gateway scan`` on a serial line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from gateway.cli import main
from gateway.cli.scanning.identity import identity_query
from gateway.interfaces._modbus.frames import crc16
from tests.interfaces.modbus.bus import Bus, slaves


def scanned(folder: Path, port: Path, *options: object) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a scan of a port that the settings allow."""
    settings = folder / "settings.yaml"
    settings.write_text(f'broker: {{url: "mqtt://h"}}\nallow: {{serial_ports: ["{folder}/*"]}}\n')
    arguments = ["scan", "modbus", "--serial", port, "--settings", settings, "--baudrate", 115200, "--json", *options]
    outcome = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return outcome.exit_code, outcome.stdout, outcome.stderr


def test_the_slaves_of_a_line_are_found(tmp_path: Path):
    """On a line with two slaves these are found and the silent ones told; the config has the settings of the line."""
    with Bus(tmp_path, 3, 115200) as bus, slaves(tmp_path, bus, 11, 13):
        options = ("--units", "11,13,20", "--addresses", "900-1020", "--timeout", 0.3, "-o", tmp_path / "out")
        code, out, err = scanned(tmp_path, bus.paths[0], *options)

    assert code == 0, err
    found = json.loads(out)
    assert [unit["unit"] for unit in found["units"]] == [11, 13]
    assert found["silent"] == "20"
    assert found["units"][0]["ranges"]["input"] == [[900, 999]]
    assert found["units"][1]["ranges"]["coil"] == [[900, 1020]]
    device = json.loads((tmp_path / "out" / "config" / "devices" / "campus" / "building" / "bus0_13").read_text())
    assert device["driver_config"]["baudrate"] == 115200
    assert device["driver_config"]["slave_id"] == 13


def test_a_serial_port_that_is_not_allowed_is_two(tmp_path: Path):
    """The allow-list of serial ports holds for a scan."""
    outcome = CliRunner().invoke(main, ["scan", "modbus", "--serial", str(tmp_path / "tty")])

    assert outcome.exit_code == 2
    assert "allow.serial_ports" in outcome.stderr


def test_an_rtu_device_says_what_it_is(tmp_path: Path):
    """The identification has no fixed length, so its end is told by its objects, however the bytes come."""

    def answer(request: bytes) -> Iterator[bytes]:
        function = request[1]
        if function == 0x2B:
            body = bytes((request[0],)) + b"\x2b\x0e\x02\x82\x00\x00\x02\x00\x04Acme\x01\x03X-1"
        else:
            body = bytes((request[0], function | 0x80, 2))
        frame = body + crc16(body)
        yield frame[:9]
        yield frame[9:]

    with Bus(tmp_path, 1, answer=answer) as bus:
        code, out, err = scanned(tmp_path, bus.paths[0], "--units", "1", "--addresses", "0-9", "--timeout", 0.2)

    assert code == 0, err
    assert json.loads(out)["units"][0]["identity"] == {"vendor": "Acme", "product_code": "X-1"}


def test_the_length_of_an_identification_is_known_when_it_can_be():
    """Before the last object has told its length nothing is known; a reply of another kind is none."""
    query = identity_query(0)
    reply = b"\x2b\x0e\x02\x82\x00\x00\x02\x00\x04Acme\x01\x03X-1"

    assert [query.due(reply[:size]) for size in range(len(reply) + 1)] == [0] * 15 + [len(reply)] * 4
    assert query.due(b"\x03\x02\x00\x01\x00\x00\x00\x00") == 0
