"""What changed since the scans before: opened, closed, changed, gone.

Each port is compared with the newest complete scan that asked the same (address, protocol, port): one that was not asked is
not known to be closed. A host that does not answer any more is one line, not one for each of its ports.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Sequence
from typing import Final

import msgspec

from nsm.model.scan import PortState, Scan, ScannedPort, Service
from nsm.scan.ports import numbers

OPENED, CLOSED, CHANGED, GONE, NEW_HOST = "opened", "closed", "changed", "gone", "new host"
FLAPPING: Final = "flapping"
FLAPS: Final = (4, 2)  # scans looked at, this one among them; changes of state among them that are no news any more
IDENTITY: Final = ("host_key", "certificate_sha256", "fingerprint")  # details that say which machine it is
Key = tuple[str, str, int]


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One difference: opened, closed, changed, gone, new host, flapping. ``text`` is a sentence, ``since`` the other scan's id."""

    what: str
    address: str
    text: str
    since: str
    proto: str = ""
    port: int = 0
    before: Service | None = None
    after: Service | None = None


class _Known:
    """One scan, prepared for questions."""

    def __init__(self, scan: Scan) -> None:
        self.id = scan.id
        self.hosts = {host.address for host in scan.hosts}
        self.open: dict[Key, ScannedPort] = {
            (port.address, port.proto, port.port): port for port in scan.found if port.state == PortState.OPEN
        }
        self.covered = {proto: numbers(text) for proto, text in scan.covered.items()}
        self._targets = [_network(text) for text in scan.targets]
        self._names = {host.name for host in scan.hosts if host.name}

    def asked(self, address: str, proto: str, port: int) -> bool:
        """Did it ask that port of that host?"""
        return address in self.hosts and port in self.covered.get(proto, frozenset())

    def looked_for(self, address: str) -> bool:
        """Was the address among its targets, whether it answered or not?"""
        where = ipaddress.ip_address(address.partition("%")[0])
        return any(net is not None and net.version == where.version and where in net for net in self._targets)


def difference(new: Scan, earlier: Sequence[Scan]) -> list[Change]:
    """Changes since the complete scans ``earlier``, the newest first; empty when none of them asked the same."""
    now = _Known(new)
    before = [_Known(scan) for scan in earlier]
    changes = [*_hosts(now, before)]
    keys = {*now.open, *(key for old in before for key in old.open)}
    for key in sorted(keys):
        address, proto, port = key
        if not now.asked(address, proto, port):
            continue
        asked = [one for one in before if one.asked(address, proto, port)]
        if asked:
            flaps = _flaps(key, [now, *asked][: FLAPS[0]])
            changes += flaps or _port(key, asked[0].open.get(key), now.open.get(key), asked[0].id)
    return changes


def _flaps(key: Key, scans: Sequence[_Known]) -> list[Change]:
    """A port that was just found open or closed once more, as it comes and goes: one line in place of news each time."""
    states = [key in one.open for one in scans]
    turns = sum(one != other for one, other in itertools.pairwise(states))
    if turns < FLAPS[1] or states[0] == states[1]:
        return []
    address, proto, port = key
    text = f"{address} {port}/{proto} comes and goes: open in {sum(states)} of the last {len(states)} scans"
    return [Change(FLAPPING, address, text, scans[1].id, proto, port)]


def _hosts(now: _Known, before: Sequence[_Known]) -> list[Change]:
    changes = []
    for address in sorted({address for old in before for address in old.hosts} - now.hosts):
        old = next(one for one in before if address in one.hosts)
        if now.looked_for(address):
            changes.append(Change(GONE, address, f"{address} does not answer any more", old.id))
    for address in sorted(now.hosts):
        looked = next((one for one in before if one.looked_for(address)), None)
        if looked is not None and not any(address in one.hosts for one in before):
            changes.append(Change(NEW_HOST, address, f"{address} answers for the first time", looked.id))
    return changes


def _port(key: Key, old: ScannedPort | None, new: ScannedPort | None, since: str) -> list[Change]:
    address, proto, port = key
    place = f"{address} {port}/{proto}"
    if old is None and new is not None:
        return [
            Change(OPENED, address, f"{place} is open now{_named(new.service)}", since, proto, port, None, new.service)
        ]
    if new is None and old is not None:
        return [Change(CLOSED, address, f"{place} is not open any more", since, proto, port, old.service, None)]
    before, after = (one.service if one is not None else None for one in (old, new))
    if before is None or after is None or before.how == "port" or after.how == "port":
        return []  # a guess by number says nothing of a change
    facts = [
        f"{word} {one or 'unknown'} became {other or 'unknown'}"
        for word, one, other in (
            ("service", before.name, after.name), ("product", before.product, after.product),
            ("version", before.version, after.version), *(
                (name.replace("_", " "), before.details.get(name, ""), after.details.get(name, "")) for name in IDENTITY
            ),
        )
        if one != other
    ]  # fmt: skip
    if not facts:
        return []
    return [Change(CHANGED, address, f"{place}: {'; '.join(facts)}", since, proto, port, before, after)]


def _named(service: Service | None) -> str:
    if service is None or not service.name:
        return ""
    words = " ".join(filter(None, (service.product, service.version)))
    return f": {service.name}{f' ({words})' if words else ''}"


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:  # a name
        return None
