"""Ports as people write them ("1-1024,8080,top100,T:22,U:53") to ports by protocol, in the order of asking.

Common ports come first, so that what matters is known early; the rest follow in an order shuffled by a seed, so that
no firewall sees a plain sweep and a resumed scan finds the same order again.

The order of common ports is our own judgement, from the services that IANA's registry names and what home and office
networks run.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from nsm.errors import ScanError

PORT_MAX: Final = 65_535
ITEMS_MAX: Final = 10_000  # ours

COMMON_TCP: Final = (
    80, 443, 22, 445, 3389, 139, 53, 21, 23, 25, 8080, 8443, 135, 5900, 3306, 110, 143, 993, 995, 587,
    111, 631, 9100, 5432, 1433, 6379, 8000, 8888, 1883, 2049, 389, 88, 636, 465, 548, 554, 515, 5000, 5001, 5060,
    27017, 9200, 11211, 1521, 3128, 1080, 1723, 873, 5985, 5986, 8008, 8009, 8081, 8006, 8123, 9000, 9090, 9443, 10000, 32400,
    2222, 2375, 2376, 6443, 10250, 2379, 5601, 3000, 4443, 7001, 8001, 8082, 8083, 8086, 8088, 8834, 8883, 9001, 9091, 9093,
    179, 264, 502, 102, 513, 514, 512, 79, 113, 119, 990, 992, 853, 1194, 1720, 2000, 3268, 3269, 5222, 5269,
    5357, 5555, 5672, 5901, 6000, 6667, 7000, 7070, 7547, 8089, 8090, 8099, 8161, 8181, 8291, 8333, 8500, 8787, 9042, 9092,
    9160, 9300, 9418, 9999, 10001, 15672, 16992, 20000, 25565, 49152, 49153, 49154, 49155, 50000, 61616, 62078, 1, 7, 9, 13,
    17, 19, 37, 49, 70, 81, 82, 99, 100, 106, 109, 144, 199, 311, 427, 444, 464, 497, 543, 544, 593, 646, 666, 749, 902, 1022,
    1025, 1026, 1027, 1110, 1434, 1755, 1900, 2001, 2082, 2083, 2086, 2087, 2121, 2181, 3260, 3690, 4369, 4840, 4899, 5009,
    5051, 5101, 5190, 5433, 5631, 5666, 5800, 6001, 6646, 7002, 8010, 8031, 8140, 8200, 8400, 8880, 9009, 9080, 9101, 10443,
)  # fmt: skip
COMMON_UDP: Final = (
    53, 123, 161, 137, 67, 1900, 5353, 500, 69, 111, 5060, 138, 514, 4500, 1194, 51820, 443, 389, 88, 5355,
    3478, 5683, 1812, 1813, 162, 520, 68, 623, 1434, 1701, 2049, 3702, 11211, 47808, 10001, 33434, 5349, 3544, 4789, 5351,
    19, 7, 9, 13, 17, 37, 49, 80, 177, 427, 464, 546, 547, 631, 853, 996, 1025, 1026, 1645, 1646,
    2123, 2152, 2222, 3391, 3483, 3784, 4500, 5004, 5005, 5093, 5246, 5247, 5632, 6081, 6343, 6481, 7000, 8125, 9987, 10000,
    17185, 19132, 20000, 27015, 27960, 30718, 32768, 34964, 41641, 44818, 49152, 49153, 49154, 54321, 64738, 1027, 1028, 1029,
)  # fmt: skip
COMMON: Final = {"tcp": tuple(dict.fromkeys(COMMON_TCP)), "udp": tuple(dict.fromkeys(COMMON_UDP))}
UDP_PLAIN: Final = "top50"  # tried when UDP is asked for without ports


class Ports(msgspec.Struct, frozen=True):
    """Ports in the order of asking."""

    tcp: tuple[int, ...] = ()
    udp: tuple[int, ...] = ()


@functools.lru_cache(maxsize=4)  # a request is checked before it is run
def parse(text: str, *, udp: bool = False, seed: int = 0) -> Ports:
    """The ports that a text names; ScanError says which item is wrong.

    An item without a letter is TCP, with ``udp`` both; a letter holds for the items behind it: "T:22,80,U:53".
    """
    found: dict[str, set[int]] = {"tcp": set(), "udp": set()}
    protos = ("tcp", "udp") if udp else ("tcp",)
    items = text.replace(" ", "").split(",")
    if len(items) > ITEMS_MAX:
        raise ScanError(f"{len(items):,} items of ports are too many", where="--ports", mend="name ranges: 1-1024")
    for item in items:
        letter, colon, rest = item.partition(":")
        if colon:
            protos = _protos_of(letter, item)
        for proto in protos:
            found[proto] |= _numbers_of(rest if colon else item, proto)
    return Ports(*(tuple(ordered(found[proto], proto, seed)) for proto in ("tcp", "udp")))


def _protos_of(letter: str, item: str) -> tuple[str]:
    proto = {"T": "tcp", "U": "udp"}.get(letter.upper())
    if proto is None:
        raise _wrong(item, "T: is TCP and U: is UDP")
    return (proto,)


def _numbers_of(item: str, proto: str) -> set[int]:
    if top := re.fullmatch(r"top(\d{1,5})", item.lower()):
        number = int(top[1])
        if not 1 <= number <= len(COMMON[proto]):
            raise _wrong(item, f"top1 to top{len(COMMON[proto])} for {proto.upper()}, or 1-65535")
        return set(COMMON[proto][:number])
    if item in {"-", "all"}:
        return set(range(1, PORT_MAX + 1))
    span = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", item, re.ASCII)
    if not span:
        raise _wrong(item, "1-1024,8080,top100,T:22,U:53")
    first, last = int(span[1]), int(span[2] or span[1])
    if not 1 <= first <= last <= PORT_MAX:
        raise _wrong(item, f"ports are 1 to {PORT_MAX}, the smaller one first")
    return set(range(first, last + 1))


def _wrong(item: str, mend: str) -> ScanError:
    return ScanError(f"{item or 'an empty item'} is no port", where="--ports", mend=mend)


def ordered(ports: Iterable[int], proto: str, seed: int) -> list[int]:
    """Common ports first, the rest shuffled by the seed."""
    wanted = set(ports)
    first = [port for port in COMMON[proto] if port in wanted]
    rest = sorted(wanted.difference(first))
    keys = memoryview(random.Random(seed).randbytes(8 * len(rest))).cast("Q")  # noqa: S311  # an order, not a secret
    return first + [rest[place] for place in sorted(range(len(rest)), key=keys.__getitem__)]


def ranges(ports: Iterable[int]) -> str:
    """The ports in short: "22,80-443"; the inverse is ``numbers``."""
    parts: list[tuple[int, int]] = []
    for port in sorted(set(ports)):
        if parts and parts[-1][1] == port - 1:
            parts[-1] = (parts[-1][0], port)
        else:
            parts.append((port, port))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


@functools.lru_cache(maxsize=8)  # scans that are compared asked the same ports, mostly
def numbers(text: str) -> frozenset[int]:
    """The ports of what ``ranges`` wrote."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)
