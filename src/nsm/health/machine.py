"""This machine now: CPU, memory, disk, clock; temperature only where something measures it (never in most virtual machines)."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

import msgspec
import psutil

STA_UNSYNC, STA_NANO = 0x0040, 0x2000  # linux/timex.h
STEP_S: Final = 1.0  # ours: NTP slews less than 0.5 ms in a second, so more is a step


class Clock(msgspec.Struct, frozen=True):
    """What the kernel says of its clock. ``offset_s``: what is left to correct, as the time service last measured it."""

    synchronised: bool
    offset_s: float


class Machine(msgspec.Struct, frozen=True):
    """One reading. None: not known (yet), never 0 for it."""

    cpu_ratio: float | None
    load_1min: float
    memory_used_bytes: int
    memory_total_bytes: int
    disk_used_bytes: int
    disk_free_bytes: int
    disk_total_bytes: int
    temperature_c: float | None
    clock_synchronised: bool | None
    clock_offset_s: float | None
    clock_stepped_s: float


class MachineReader:
    """Reads the machine; ``directory`` says which disk. The first CPU figure is of no time, so it is left out."""

    def __init__(self, directory: Path, wall: Callable[[], float] = time.time) -> None:
        self._directory, self._wall = directory, wall
        self._first = True
        self._offset: float | None = None
        self._stepped = 0.0

    def read(self) -> Machine:
        """The figures now; OSError when the disk cannot be asked."""
        cpu = psutil.cpu_percent(interval=None) / 100
        known, self._first = (None if self._first else cpu), False
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(self._directory))
        clock = read_clock()
        return Machine(
            cpu_ratio=known, load_1min=psutil.getloadavg()[0], memory_used_bytes=memory.total - memory.available,
            memory_total_bytes=memory.total, disk_used_bytes=disk.used, disk_free_bytes=disk.free,
            disk_total_bytes=disk.total, temperature_c=temperature(),
            clock_synchronised=clock.synchronised if clock else None,
            clock_offset_s=clock.offset_s if clock else None, clock_stepped_s=self._steps(),
        )  # fmt: skip

    def _steps(self) -> float:
        """The largest step of the wall clock against the monotonic one since the start, in s."""
        offset = self._wall() - time.clock_gettime(time.CLOCK_BOOTTIME)
        if self._offset is not None and abs(offset - self._offset) > max(STEP_S, abs(self._stepped)):
            self._stepped = offset - self._offset
        self._offset = offset
        return self._stepped


def temperature() -> float | None:
    """The warmest CPU sensor in degrees Celsius; None where there is none."""
    read = getattr(psutil, "sensors_temperatures", None)
    try:
        found = read() if read is not None else {}
    except (OSError, ValueError):  # a driver that answers nonsense
        return None
    wanted = [item.current for name in ("coretemp", "k10temp", "cpu_thermal") for item in found.get(name, ())]
    return max(wanted, default=None)


class _Timex(ctypes.Structure):
    _fields_: ClassVar = [  # type: ignore[mutable-override]  # ctypes declares it so
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    ]


def read_clock() -> Clock | None:
    """The kernel's clock (adjtimex(2), asked without changing it, which needs no privilege). None: cannot be asked."""
    found = _Timex()
    try:
        code = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(found))
    except (OSError, AttributeError):
        return None
    return None if code < 0 else clock_of(found.status, found.offset)


def clock_of(status: int, offset: int) -> Clock:
    """The clock from ``status`` and ``offset`` of struct timex: microseconds, or nanoseconds where STA_NANO is set."""
    return Clock(not status & STA_UNSYNC, offset / (1e9 if status & STA_NANO else 1e6))
