"""Whom to probe: the gateway and the resolver that this machine uses, from the kernel's tables and resolv.conf.

Formats: Linux net/ipv4/fib_trie.c (``/proc/net/route``), net/ipv6/route.c (``/proc/net/ipv6_route``), resolv.conf(5).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

RTF_UP, RTF_GATEWAY = 1, 2  # linux/route.h
RESOLVERS_MAX: Final = 3  # MAXNS of resolv.h
TARGETS_MAX: Final = 20


class Target(msgspec.Struct, frozen=True):
    """``role``: gateway, resolver or added. ``address`` may have a zone (fe80::1%eth0)."""

    name: str
    address: str
    role: str


def gateways_v4(table: str) -> list[str]:
    """Default gateways of ``/proc/net/route``, the one with the lowest metric first."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        try:
            flags = int(fields[3], 16)
            if fields[1] == "00000000" and fields[7] == "00000000" and flags & RTF_UP and flags & RTF_GATEWAY:
                found.append((int(fields[6]), socket.inet_ntoa(struct.pack("=I", int(fields[2], 16)))))
        except (IndexError, ValueError, struct.error):
            continue
    return [address for _, address in sorted(found)]


def gateways_v6(table: str) -> list[str]:
    """Default gateways of ``/proc/net/ipv6_route``, lowest metric first; link-local ones with their interface."""
    found = []
    for line in table.splitlines():
        fields = line.split()
        try:
            flags = int(fields[8], 16)
            if int(fields[0], 16) or int(fields[1], 16) or not flags & RTF_UP or not flags & RTF_GATEWAY:
                continue
            address = ipaddress.IPv6Address(bytes.fromhex(fields[4]))
            zone = f"%{fields[9]}" if address.is_link_local else ""
            found.append((int(fields[5], 16), f"{address}{zone}"))
        except (IndexError, ValueError):
            continue
    return [address for _, address in sorted(found)]


def resolvers(text: str) -> list[str]:
    """Name servers of resolv.conf in their order, three at most; what is no address is left out."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 2 and fields[0] == "nameserver" and _is_address(fields[1]):
            found.append(fields[1])
    return list(dict.fromkeys(found))[:RESOLVERS_MAX]


def targets(added: Sequence[str], root: Path = Path("/")) -> tuple[Target, ...]:
    """Whom to probe on this machine: the first gateway of each IP version, the first resolver, and what was added.

    ``added`` are addresses; what is none is left out. One address is one target.
    """
    found = [Target("gateway", address, "gateway") for address in gateways_v4(_read(root / "proc/net/route"))[:1]]
    found += [Target("gateway v6", item, "gateway") for item in gateways_v6(_read(root / "proc/net/ipv6_route"))[:1]]
    found += [Target("resolver", address, "resolver") for address in resolvers(_read(root / "etc/resolv.conf"))[:1]]
    found += [Target(address, address, "added") for address in added if _is_address(address)]
    by_address: dict[str, Target] = {}
    for target in found:
        by_address.setdefault(target.address, target)
    return tuple(by_address.values())[:TARGETS_MAX]


def resolver(root: Path = Path("/")) -> str | None:
    """The first configured resolver."""
    return next(iter(resolvers(_read(root / "etc/resolv.conf"))), None)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
