"""A serial line for tests: pseudo terminals that all hear each other at the speed of a baud rate, and slaves on it."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interfaces.modbus.servers import need

SLAVE = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <modbus.h>
int main(int argc, char **argv) {
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    modbus_t *ctx = modbus_new_rtu(argv[1], 9600, 'N', 8, 1);
    modbus_mapping_t *map = modbus_mapping_new(2000, 2000, 1000, 1000);
    int unit = atoi(argv[2]);
    for (int i = 0; i < 1000; i++) { map->tab_input_registers[i] = 1000 * unit + i; map->tab_input_bits[i] = i % 3 == 0; }
    modbus_set_slave(ctx, unit);
    if (modbus_connect(ctx) < 0) return 1;
    printf("ready\n"); fflush(stdout);
    for (;;) {
        int length = modbus_receive(ctx, query);
        if (length > 0) modbus_reply(ctx, query, length, map);
        else if (length < 0 && errno != EMBBADCRC && errno != EMBBADDATA && errno != ETIMEDOUT) return 1;
    }
}
"""


class Bus:
    """Ends of one line: ``paths`` to open; ``answer``, if given, gets what end 0 sends, and yields what comes back."""

    def __init__(
        self, folder: Path, ends: int, baudrate: int = 0, answer: Callable[[bytes], Iterator[bytes]] | None = None
    ) -> None:
        self.paths = [folder / f"bus{n}" for n in range(ends)]
        self.heard: list[bytes] = []
        self._baudrate = baudrate
        self._answer = answer
        self._ends: list[tuple[int, int]] = []
        self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)

    def __enter__(self) -> Bus:
        for path in self.paths:
            master, slave = pty.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            path.symlink_to(os.ttyname(slave))
            self._ends.append((master, slave))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop[1], b"x")
        self._thread.join(10)
        for path, end in zip(self.paths, self._ends, strict=True):
            path.unlink(missing_ok=True)
            for file in end:
                os.close(file)
        for file in self._stop:
            os.close(file)

    def say(self, data: bytes) -> None:
        """Put bytes on the line for end 0, from nowhere."""
        os.write(self._ends[0][0], data)

    def _run(self) -> None:
        poll = select.poll()
        masters = [master for master, _ in self._ends]
        for file in (*masters, self._stop[0]):
            poll.register(file, select.POLLIN)
        while True:
            for file, _ in poll.poll():
                if file == self._stop[0]:
                    return
                self._pass_on(file, masters)

    def _pass_on(self, file: int, masters: list[int]) -> None:
        data = os.read(file, 300)
        self.heard.append(data)
        if self._answer is not None:
            for piece in self._answer(data):
                os.write(file, piece)
            return
        if self._baudrate:
            time.sleep(len(data) * 11 / self._baudrate)
        for other in masters:
            if other != file:
                try:
                    os.write(other, data)
                except BlockingIOError:
                    pass  # nobody reads there


def build_slave(folder: Path) -> Path:
    """The program of a slave on libmodbus."""
    need("gcc")
    source, program = folder / "slave.c", folder / "slave"
    source.write_text(SLAVE)
    built = subprocess.run(
        ["gcc", "-I/usr/include/modbus", "-o", program, source, "-lmodbus"], capture_output=True, text=True
    )
    if built.returncode != 0 and os.environ.get("CI") != "true":
        pytest.skip("libmodbus is not there to build a slave with")
    assert built.returncode == 0, built.stderr
    return program


@contextmanager
def slaves(folder: Path, bus: Bus, *units: int) -> Iterator[None]:
    """A slave process for each unit, on the ends from 1."""
    program = build_slave(folder)
    running = [
        subprocess.Popen([program, bus.paths[n + 1], str(unit)], stdout=subprocess.PIPE) for n, unit in enumerate(units)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        for process in running:
            process.kill()
            process.communicate()


@contextmanager
def socat_pair(folder: Path) -> Iterator[tuple[Path, Path, subprocess.Popen[bytes]]]:
    """Two serial ports that are joined, as long as the process lives."""
    need("socat")
    ends = folder / "near", folder / "far"
    program = shutil.which("socat")
    assert program is not None
    command = [program, *(f"pty,raw,echo=0,link={end}" for end in ends)]
    process = subprocess.Popen(command)
    until = time.monotonic() + 10
    while not all(end.exists() for end in ends) and time.monotonic() < until:
        time.sleep(0.01)
    try:
        yield *ends, process
    finally:
        process.terminate()
        process.wait(10)
