"""Network interfaces of this machine: names, state, addresses, counters. Linux: /sys/class/net and /proc/net."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Final

import msgspec
import psutil

SYS: Final = Path("/sys/class/net")


class Interface(msgspec.Struct, frozen=True):
    """One interface; byte and packet counters since it came up."""

    name: str
    up: bool
    state: str
    addresses: tuple[str, ...]
    packets: int
    octets: int
    drops: int
    errors: int


def interfaces() -> tuple[Interface, ...]:
    """All interfaces, by name."""
    addresses = psutil.net_if_addrs()
    counters = psutil.net_io_counters(pernic=True)
    found = []
    for name in sorted(path.name for path in SYS.iterdir() if (path / "operstate").exists()):
        try:
            state = (SYS / name / "operstate").read_text().strip()
            flags = int((SYS / name / "flags").read_text(), 16)
        except (OSError, ValueError):
            continue  # it went away meanwhile
        texts = tuple(
            item.address.split("%")[0]
            for item in addresses.get(name, ())
            if item.family in (socket.AF_INET, socket.AF_INET6)
        )
        seen = counters.get(name)
        found.append(
            Interface(
                name=name,
                up=bool(flags & 1),
                state=state,
                addresses=texts,
                packets=seen.packets_recv + seen.packets_sent if seen else 0,
                octets=seen.bytes_recv + seen.bytes_sent if seen else 0,
                drops=seen.dropin if seen else 0,
                errors=seen.errin if seen else 0,
            )
        )
    return tuple(found)


def default_interface() -> str | None:
    """The interface of the default route; else the busiest that is up, loopback last; None when there is none."""
    try:
        for line in Path("/proc/net/route").read_text().splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[1] == "00000000" and int(fields[3], 16) & 1:
                return fields[0]
        for line in Path("/proc/net/ipv6_route").read_text().splitlines():
            fields = line.split()
            if fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
                return fields[9]
    except OSError:
        pass
    up = [item for item in interfaces() if item.up]
    busiest = max((item for item in up if item.name != "lo"), key=lambda item: item.packets, default=None)
    return busiest.name if busiest else next((item.name for item in up), None)


def networks_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """The IPv4 and IPv6 prefixes of the given interfaces' addresses, link local ones left out."""
    found = []
    addresses = psutil.net_if_addrs()
    for name in names:
        for item in addresses.get(name, ()):
            if item.family == socket.AF_INET and item.netmask:
                mask = struct.unpack(">I", socket.inet_aton(item.netmask))[0]
                found.append(f"{item.address}/{mask.bit_count()}")
            elif item.family == socket.AF_INET6 and item.netmask and not item.address.startswith("fe80"):
                packed = socket.inet_pton(socket.AF_INET6, item.netmask)
                found.append(f"{item.address.split('%')[0]}/{int.from_bytes(packed, 'big').bit_count()}")
    return tuple(dict.fromkeys(found))
