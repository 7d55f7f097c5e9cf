"""What a report is restricted to: hosts and networks. What has one side in it belongs to it; nothing named is the whole network.

Words are read without the store, so that a task can be refused before it begins; names are looked up when the report is made,
since devices come and go.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from nsm.errors import QueryError
from nsm.model.address import Networks
from nsm.store.queryspec import Node, Or, Term

PARTS_MAX: Final = 32  # ours: half of the terms that a question may have
NAME_CHARACTERS_MAX: Final = 253  # RFC 1035, section 2.3.4
SHOWN: Final = 3
MEND: Final = "addresses, networks or known names with commas: 192.168.1.20,10.1.0.0/16"
_NUMERIC: Final = re.compile(r"[\d./]+|.*[:/].*")  # an address or a network, or meant to be one


class Place(msgspec.Struct, frozen=True):
    """An address, or a network in CIDR form; ``name`` is what a host was asked by, "" where it was its address."""

    network: str
    name: str = ""

    @property
    def text(self) -> str:
        """As people read it."""
        return f"{self.name} ({self.network})" if self.name else self.network


def words(text: str) -> tuple[str, ...]:
    """The parts of ``192.168.1.20,10.1.0.0/16,printer``, addresses in their usual form, each once; () for an empty text.

    QueryError when malformed, also when there are commas alone: what was meant to be restricted never becomes everything.
    """
    found = dict.fromkeys(_usual(part.strip()) for part in text.split(",") if part.strip())
    if text.strip() and not found:
        raise QueryError("the scope names nothing", where="scope", mend=MEND)
    if len(found) > PARTS_MAX:
        raise QueryError(
            f"a scope has at most {PARTS_MAX} parts", where="scope", mend="networks in place of their hosts"
        )
    return tuple(found)


def _usual(word: str) -> str:
    try:
        network = ipaddress.ip_network(word, strict=False)
    except ValueError as error:
        if _NUMERIC.fullmatch(word) or len(word) > NAME_CHARACTERS_MAX or not word.isprintable():
            raise QueryError(f"not an address, network or name: {word[:60]!r}", where="scope", mend=MEND) from error
        return word
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def found(asked: Iterable[str], addresses_of: Callable[[str], Sequence[str]]) -> tuple[Place, ...]:
    """The places of words; QueryError for a name that no host has, or more than one."""
    return tuple(_place(word, addresses_of) for word in asked)


def _place(word: str, addresses_of: Callable[[str], Sequence[str]]) -> Place:
    try:
        ipaddress.ip_network(word)
    except ValueError:
        addresses = addresses_of(word)
    else:
        return Place(word)
    if not addresses:
        raise QueryError(
            f"no host is called {word[:60]!r}", where="scope", mend="nsm hosts   lists names and addresses"
        )
    if len(addresses) > 1:
        raise QueryError(f"{len(addresses)} hosts are called {word[:60]!r}", where="scope",
                         mend=f"name them by address: {','.join(sorted(addresses)[:8])}")  # fmt: skip
    return Place(addresses[0], word)


class Scope:
    """A scope that is asked about addresses; without places it is false, and everything belongs to it."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = tuple(places)
        self.networks = tuple(place.network for place in places)
        self._inside = Networks(self.networks)
        self._parsed = tuple(ipaddress.ip_network(network) for network in self.networks)

    def __bool__(self) -> bool:
        """Is it less than the whole network?"""
        return bool(self.places)

    def covers(self, address: str) -> bool:
        """Does that address belong to it? Zones of IPv6 are left out of account."""
        return not self.places or address.partition("%")[0] in self._inside

    def touches(self, target: str) -> bool:
        """Has that address or network anything in common with it? False for a name."""
        try:
            network = ipaddress.ip_network(target.partition("%")[0], strict=False)
        except ValueError:
            return False
        return any(one.version == network.version and one.overlaps(network) for one in self._parsed)

    def where(self) -> Node | None:
        """The condition for alerts; None for the whole network."""
        terms = tuple(Term("host", "cidr" if "/" in network else "=", network) for network in self.networks)
        return Or(terms) if terms else None


def said(places: Sequence[Place], most: int = SHOWN) -> str:
    """``desk (192.168.1.20), 10.1.0.0/16 and 4 more``."""
    more = len(places) - most
    return ", ".join(place.text for place in places[:most]) + (f" and {more} more" if more > 0 else "")
