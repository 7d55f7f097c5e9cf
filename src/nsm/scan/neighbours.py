"""Hosts on the link by the neighbour protocols: ARP (RFC 826) and neighbour discovery (RFC 4861), through raw sockets.

The truth about a link: a host that wants to be on it has to answer.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from nsm.scan.echo import Clock, Up, wait_for_room
from nsm.scan.pacing import Bucket
from nsm.scan.raw_socket import open_icmp
from nsm.scan.route import Route, mac_of, socket_address

ROUNDS_S: Final = (0.2, 0.4, 0.8)  # ours: waits after each asking; phones that sleep take a beacon or two
ETH_P_ARP: Final = 0x0806
ARP_REQUEST, ARP_REPLY = 1, 2
SOLICITATION, ADVERTISEMENT = 135, 136  # RFC 4861, section 4
HOPS_OF_NEIGHBOURS: Final = 255  # RFC 4861, section 7.1
IPV6_MULTICAST_HOPS, IPV6_MULTICAST_IF = 18, 17
BROADCAST_MAC: Final = b"\xff" * 6
_ARP = struct.Struct("!HHBBH6s4s6s4s")


def neighbours(routes: Mapping[str, Route], rate: float, clock: Clock, tell: Callable[[], bool]) -> dict[str, Up]:
    """Those of the addresses on the link that answer; ``routes`` says how to reach each. Rate in probes/s, 0: no limit."""
    found: dict[str, Up] = {}
    by_interface: dict[tuple[int, int], list[str]] = {}
    for address, route in routes.items():
        by_interface.setdefault((route.interface, 6 if ":" in address else 4), []).append(address)
    for (interface, version), addresses in by_interface.items():
        with _link(interface, version, routes[addresses[0]].source) as link:
            _ask_rounds(link, addresses, found, Bucket(rate), clock, tell)
    return found


@contextlib.contextmanager
def _link(interface: int, version: int, source: str) -> Iterator[_Link]:
    link = _Arp(interface, source) if version == 4 else _Neighbours(interface)
    try:
        yield link
    finally:
        link.sock.close()


class _Link(Protocol):
    """One way to ask single hosts: a socket, what is sent, and what an answer says."""

    sock: socket.socket
    by: str

    def ask(self, address: str) -> None:
        """Send one question."""

    def read(self) -> tuple[str, str] | None:
        """(address, MAC) of the next packet, None when it is no answer; BlockingIOError when there is none."""


class _Arp:
    by = "arp"

    def __init__(self, interface: int, source: str) -> None:
        self._name = socket.if_indextoname(interface)
        self._mac = mac_of(interface)
        self._source = socket.inet_aton(source)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ARP))
        self.sock.bind((self._name, ETH_P_ARP))
        self.sock.setblocking(False)

    def ask(self, address: str) -> None:
        body = _ARP.pack(
            1, 0x0800, 6, 4, ARP_REQUEST, self._mac, self._source, bytes(6), socket.inet_aton(address)
        )  # fmt: skip
        self.sock.sendto(body, (self._name, ETH_P_ARP, 0, 0, BROADCAST_MAC))

    def read(self) -> tuple[str, str] | None:
        data = self.sock.recv(128)
        if len(data) < _ARP.size:
            return None
        _, _, _, _, kind, mac, sender, _, _ = _ARP.unpack_from(data)
        return (socket.inet_ntoa(sender), mac.hex(":")) if kind == ARP_REPLY else None


class _Neighbours:
    by = "nd"

    def __init__(self, interface: int) -> None:
        self._interface = interface
        self._mac = mac_of(interface)
        self.sock = open_icmp(6, ADVERTISEMENT)
        for option, value in ((IPV6_MULTICAST_HOPS, HOPS_OF_NEIGHBOURS), (IPV6_MULTICAST_IF, interface)):
            self.sock.setsockopt(socket.IPPROTO_IPV6, option, value)

    def ask(self, address: str) -> None:
        target = ipaddress.IPv6Address(address.partition("%")[0]).packed
        group = ipaddress.IPv6Address(
            bytes.fromhex("ff0200000000000000000001ff") + target[13:]
        )  # RFC 4291, section 2.7.1
        # The kernel fills in the checksum; option 1 is our link-layer address, so that the answer needs no question.
        body = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + target + b"\x01\x01" + self._mac
        self.sock.sendto(body, (str(group), 0, 0, self._interface))

    def read(self) -> tuple[str, str] | None:
        data = self.sock.recv(256)
        if len(data) < 24 or data[0] != ADVERTISEMENT:
            return None
        mac = data[26:32].hex(":") if data[24:26] == b"\x02\x01" else ""
        return socket.inet_ntop(socket.AF_INET6, data[8:24]), mac


def _ask_rounds(
    link: _Link, addresses: Sequence[str], found: dict[str, Up], bucket: Bucket, clock: Clock, tell: Callable[[], bool]
) -> None:
    wanted = {socket_address(address)[0]: address for address in addresses}
    sent: dict[str, float] = {}
    for wait_s in ROUNDS_S:
        for address in [address for address in addresses if address not in found]:
            if not wait_for_room(bucket, clock, tell):
                return
            sent[address] = clock()
            with contextlib.suppress(OSError):  # the interface went down, or its buffers are full: asked again
                link.ask(address)
            _read_all(link, wanted, sent, found, clock)
        until = clock() + wait_s
        while len(found.keys() & wanted.values()) < len(wanted) and clock() < until:
            if not tell():
                return
            if select.select([link.sock], (), (), max(0.0, min(0.1, until - clock())))[0]:
                _read_all(link, wanted, sent, found, clock)


def _read_all(
    link: _Link, wanted: Mapping[str, str], sent: Mapping[str, float], found: dict[str, Up], clock: Clock
) -> None:
    with contextlib.suppress(BlockingIOError):
        for _ in range(1_024):
            answer = link.read()
            address = wanted.get(answer[0], "") if answer else ""
            if answer and address in sent:
                found.setdefault(address, Up(link.by, clock() - sent[address], answer[1]))
