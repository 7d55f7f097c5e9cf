"""The way to an address, asked of the kernel: which interface, from which address, on the link or through a router.

Netlink, RTM_GETROUTE: rtnetlink(7), constants of Linux include/uapi/linux/{netlink,rtnetlink}.h. Needs no privilege.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable
from typing import Final

import msgspec

from nsm.errors import ScanError

RTM_NEWROUTE, RTM_GETROUTE, NLMSG_ERROR, NLM_F_REQUEST = 24, 26, 2, 1
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_VIA = 1, 4, 5, 7, 18
RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST = 1, 2, 3
_HEADER = struct.Struct("IHHII")
_ROUTE = struct.Struct("BBBBBBBBI")
_ATTRIBUTE = struct.Struct("HH")
REPLY_BYTES: Final = 8_192


class Route(msgspec.Struct, frozen=True):
    """``interface`` is an index. ``on_link``: reached without a router. ``local``: an address of this machine."""

    interface: int
    source: str
    on_link: bool = False
    local: bool = False
    broadcast: bool = False


def routes_to(addresses: Iterable[str]) -> dict[str, Route | None]:
    """Address -> its way, None when there is none."""
    found: dict[str, Route | None] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(2.0)
        for number, address in enumerate(addresses, 1):
            sock.send(_question(address, number))
            try:
                found[address] = _answer(sock.recv(REPLY_BYTES))
            except TimeoutError as error:
                raise ScanError("the kernel does not tell its routes", where="netlink") from error
    return found


def _question(address: str, number: int) -> bytes:
    plain, _, scope = address.partition("%")
    parsed = ipaddress.ip_address(plain)
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    attributes = _attribute(RTA_DST, parsed.packed)
    if scope:
        attributes += _attribute(RTA_OIF, struct.pack("I", interface_index(scope)))
    body = _ROUTE.pack(family, len(parsed.packed) * 8, 0, 0, 0, 0, 0, 0, 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), RTM_GETROUTE, NLM_F_REQUEST, number, 0) + body


def interface_index(scope: str) -> int:
    """The index of an interface by name or number; ScanError when there is none."""
    try:
        return int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    except OSError as error:
        raise ScanError(f"there is no interface {scope}", where=f"target ...%{scope}", mend="ip link") from error


def socket_address(target: str) -> tuple[str, int] | tuple[str, int, int, int]:
    """What sendto takes for an address, with port 0; the address as the kernel writes it."""
    plain, _, scope = target.partition("%")
    if ":" not in plain:
        return plain, 0
    canonical = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, plain))
    return canonical, 0, 0, interface_index(scope) if scope else 0


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _answer(reply: bytes) -> Route | None:
    length, kind, *_ = _HEADER.unpack_from(reply)
    if kind == NLMSG_ERROR or kind != RTM_NEWROUTE:
        return None
    family, _, _, _, _, _, _, what, _ = _ROUTE.unpack_from(reply, _HEADER.size)
    attributes: dict[int, bytes] = {}
    at = _HEADER.size + _ROUTE.size
    while at + _ATTRIBUTE.size <= min(length, len(reply)):
        size, number = _ATTRIBUTE.unpack_from(reply, at)
        if size < _ATTRIBUTE.size:
            break
        attributes[number] = reply[at + _ATTRIBUTE.size : at + size]
        at += size + -size % 4
    if what not in {RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST} or RTA_OIF not in attributes:
        return None
    source = attributes.get(RTA_PREFSRC) or attributes.get(RTA_DST, b"")  # local IPv6 has no preferred source
    return Route(
        struct.unpack("I", attributes[RTA_OIF])[0],
        socket.inet_ntop(family, source) if source else "",
        on_link=what == RTN_UNICAST and RTA_GATEWAY not in attributes and RTA_VIA not in attributes,
        local=what == RTN_LOCAL,
        broadcast=what == RTN_BROADCAST,
    )


def mac_of(interface: int) -> bytes:
    """The hardware address of an interface; six zero bytes when it has none."""
    try:
        with open(f"/sys/class/net/{socket.if_indextoname(interface)}/address", encoding="ascii") as file:  # noqa: PTH123
            found = bytes.fromhex(file.read().strip().replace(":", ""))
    except (OSError, ValueError):
        return bytes(6)
    return found if len(found) == 6 else bytes(6)
