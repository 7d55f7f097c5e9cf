"""Addresses as two 64-bit halves, and as text. IPv4 is ``::ffff:a.b.c.d`` (RFC 4291, section 2.5.5.2)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable
from typing import Final

import numpy as np

from nsm.model.table import Array

V4_PREFIX: Final = 0xFFFF00000000
V4_BITS: Final = 0xFFFFFFFF
_HALVES = struct.Struct(">QQ")


def halves(address: str) -> tuple[int, int]:
    """(hi, lo) of an address text; ValueError when it is none."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4:
        return 0, V4_PREFIX | int(parsed)
    return int(parsed) >> 64, int(parsed) & 0xFFFFFFFFFFFFFFFF


def text(hi: int, lo: int) -> str:
    """The address as people write it: dotted for IPv4, compressed for IPv6 (RFC 5952)."""
    if hi == 0 and lo >> 32 == 0xFFFF:
        return f"{lo >> 24 & 255}.{lo >> 16 & 255}.{lo >> 8 & 255}.{lo & 255}"
    return socket.inet_ntop(socket.AF_INET6, _HALVES.pack(hi, lo))


def text_full(hi: int, lo: int) -> str:
    """As ``text``, but IPv6 in eight groups of four digits: the form of EVE."""
    if hi == 0 and lo >> 32 == 0xFFFF:
        return f"{lo >> 24 & 255}.{lo >> 16 & 255}.{lo >> 8 & 255}.{lo & 255}"
    digits = f"{hi:016x}{lo:016x}"
    return ":".join(digits[i : i + 4] for i in range(0, 32, 4))


def texts(hi: Array, lo: Array, *, full: bool = False) -> list[str]:
    """Texts of two columns; each distinct address is converted once."""
    memo: dict[tuple[int, int], str] = {}
    convert = text_full if full else text
    out = []
    for pair in zip(hi.tolist(), lo.tolist(), strict=True):
        known = memo.get(pair)
        if known is None:
            known = memo[pair] = convert(*pair)
        out.append(known)
    return out


class Networks:
    """A set of prefixes; membership of whole columns at once."""

    def __init__(self, networks: Iterable[str]) -> None:
        self.texts = tuple(networks)
        self._ranges: list[tuple[int, int, int, int]] = []
        for value in self.texts:
            network = ipaddress.ip_network(value, strict=False)
            low, high = halves(str(network[0])), halves(str(network[-1]))
            self._ranges.append((*low, *high))

    @property
    def ranges(self) -> tuple[tuple[int, int, int, int], ...]:
        """(first hi, first lo, last hi, last lo) of each prefix."""
        return tuple(self._ranges)

    def contain(self, hi: Array, lo: Array) -> Array:
        """bool[n]: is the address in one of the prefixes?"""
        inside = np.zeros(len(hi), np.bool_)
        for low_hi, low_lo, high_hi, high_lo in self._ranges:
            above = (hi > low_hi) | ((hi == low_hi) & (lo >= low_lo))
            below = (hi < high_hi) | ((hi == high_hi) & (lo <= high_lo))
            inside |= above & below
        return inside

    def __contains__(self, address: str) -> bool:
        value = halves(address)
        return any(low[:2] <= value <= low[2:] for low in self._ranges)
