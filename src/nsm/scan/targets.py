"""Targets as people write them (a name, an address, a CIDR) to addresses, with the rails of an active scan.

There is no default target. Addresses outside the private ranges need a permission that the caller states. Rails are
checked on what a name resolved to, never on the name.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from nsm.errors import ScanError, ScanPermissionError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str], Sequence[str]]

HOSTS_LARGE_MAX: Final = 1 << 20  # ours: even with --large; a /12
V6_PREFIX_MIN: Final = 116  # ours: 4,096 addresses; what is larger cannot be swept, only listed
NAME_CHARACTERS_MAX: Final = 253  # RFC 1035, section 2.3.4

# RFC 1918, RFC 4193 (with link-local, RFC 3927 and RFC 4291, and loopback): networks that are one's own.
OWN: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8",
        "fc00::/7", "fe80::/10", "::1/128",
    )
)  # fmt: skip
THIS_NETWORK: Final = ipaddress.ip_network("0.0.0.0/8")  # RFC 1122, section 3.2.1.3


class Target(msgspec.Struct, frozen=True):
    """One address to scan, and the name that it was given by ("" for an address)."""

    address: str
    name: str = ""


def system_resolver(name: str) -> list[str]:
    """Addresses of a name from the system; ScanError when there are none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ScanError(
            f"the name {name} has no address", where=f"target {name}", mend="give an address, or check the name server"
        ) from error
    return [str(entry[4][0]) for entry in found]


def expand(
    texts: Iterable[str], resolve: Resolver = system_resolver, *, permitted: bool = False, hosts_max: int = 4_096
) -> list[Target]:
    """The addresses of the targets, each once, hosts of several networks in turn; ScanError when a rail forbids it."""
    groups = [_expand_one(text.strip(), resolve, permitted, hosts_max) for text in texts]
    if not any(groups):
        raise ScanError("there is no target", where="targets", mend="nsm scan 192.168.1.0/24")
    found: dict[str, Target] = {}
    for number in range(max(map(len, groups))):
        for group in groups:
            if number < len(group):
                found.setdefault(group[number].address, group[number])
    _check_number(len(found), "all targets", hosts_max)
    return list(found.values())


def _expand_one(text: str, resolve: Resolver, permitted: bool, hosts_max: int) -> list[Target]:
    network = _network(text)
    if network is not None:
        _check_size(network, text, hosts_max)
        check_address(network.network_address, text, permitted=permitted)
        check_address(network.broadcast_address, text, permitted=permitted, last=network.num_addresses > 1)
        return [Target(str(address)) for address in network.hosts()]
    if "/" in text or not text or len(text) > NAME_CHARACTERS_MAX or not _is_name(text):
        raise ScanError(
            f"{text or 'an empty word'} is no target",
            where="targets",
            mend="a name, an address, or a network: 10.0.0.0/24",
        )
    found = [ipaddress.ip_address(address) for address in dict.fromkeys(resolve(text))]
    if not found:
        raise ScanError(f"the name {text} has no address", where=f"target {text}", mend="give an address")
    # One address of a name is scanned, IPv4 first: the others are mostly the same machine again.
    chosen = min(found, key=lambda address: address.version)
    check_address(chosen, f"{text} ({chosen})", permitted=permitted)
    return [Target(str(chosen), text)]


def _network(text: str) -> Network | None:
    try:
        if "%" in text:  # a link-local address with its interface, RFC 4007
            return ipaddress.ip_network(ipaddress.ip_address(text))
        network = ipaddress.ip_network(text, strict=False)
        mapped = getattr(network.network_address, "ipv4_mapped", None)  # ::ffff:10.0.0.1 is scanned as IPv4
        return ipaddress.ip_network(mapped) if mapped and network.num_addresses == 1 else network
    except ValueError:
        return None


def _is_name(text: str) -> bool:
    labels = text.rstrip(".").split(".")
    plain = all(label and all(c.isalnum() or c in "-_" for c in label) for label in labels)
    return plain and not labels[-1].isdigit()  # 10.0.0.300 is a mistyped address


def _check_size(network: Network, text: str, hosts_max: int) -> None:
    if network.version == 6 and network.prefixlen < V6_PREFIX_MIN:
        raise ScanError(
            f"{text} has too many addresses to try one by one: a /64 would take millions of years",
            where=f"target {text}", mend=f"name the hosts, or a network of /{V6_PREFIX_MIN} or smaller",
        )  # fmt: skip
    _check_number(network.num_addresses - 2 * (network.version == 4 and network.prefixlen < 31), text, hosts_max)


def _check_number(number: int, text: str, hosts_max: int) -> None:
    if number > HOSTS_LARGE_MAX:
        raise ScanError(f"{text}: {number:,} hosts are more than one scan takes", mend="scan it in parts of a /12")
    if number > hosts_max:
        raise ScanError(
            f"{text}: {number:,} hosts are more than {hosts_max:,}", where="targets",
            mend="a smaller network, or --large if all of them are meant",
        )  # fmt: skip


def check_address(address: Address, text: str, *, permitted: bool, last: bool = False) -> None:
    """ScanError when an address may not be scanned. ``last``: the end of a network, which is not scanned itself."""
    reason = ""
    if address.version == 4 and address in THIS_NETWORK:
        reason = "0.0.0.0/8 are no hosts"
    elif address.is_multicast:
        reason = "a multicast address is many hosts at once"
    elif address == ipaddress.ip_address("255.255.255.255"):
        reason = "a broadcast address is many hosts at once"
    elif address.is_unspecified:
        reason = "it is no host"
    if reason and not (last and reason.startswith("a broadcast")):
        raise ScanError(f"{text} cannot be scanned: {reason}", where=f"target {text}", mend="name one host or network")
    if not permitted and not is_own(address):
        raise ScanPermissionError(
            f"{text} is outside the private networks: scanning it needs its owner's permission",
            where=f"target {text}", mend="add --i-have-permission if you have it",
        )  # fmt: skip


def is_own(address: Address) -> bool:
    """Whether the address is private, link-local or loopback."""
    return any(address.version == network.version and address in network for network in OWN)
