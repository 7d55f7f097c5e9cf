"""Targets and the rails: what may be scanned, and what is refused with its reason."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import ScanError, ScanPermissionError
from nsm.scan.targets import expand, is_own

NAMES = {"printer.lan": ["fd00::7", "10.0.0.7", "10.0.0.8"], "web.example": ["93.184.216.34"], "nothing.lan": []}


def resolve(name: str) -> list[str]:
    return NAMES[name]


def addresses(*texts: str, **options: object) -> list[str]:
    return [target.address for target in expand(texts, resolve, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.7", ["10.0.0.7"]),
        (" 10.0.0.7 ", ["10.0.0.7"]),
        ("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.6/31", ["10.0.0.6", "10.0.0.7"]),
        ("10.0.0.9/29", [f"10.0.0.{number}" for number in range(9, 15)]),
        ("fd00::1", ["fd00::1"]),
        ("FD00:0:0::1", ["fd00::1"]),
        ("fe80::1%eth0", ["fe80::1%eth0"]),
        ("::ffff:10.0.0.1", ["10.0.0.1"]),
        ("fd00::/126", ["fd00::1", "fd00::2", "fd00::3"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("printer.lan", ["10.0.0.7"]),
    ],
)
def test_a_target_becomes_addresses(text: str, found: list[str]) -> None:
    assert addresses(text) == found


def test_a_name_is_kept_beside_its_address() -> None:
    assert [(target.address, target.name) for target in expand(["printer.lan"], resolve)] == [
        ("10.0.0.7", "printer.lan")
    ]


def test_hosts_of_several_networks_come_in_turn_and_each_once() -> None:
    assert addresses("10.0.0.0/30", "10.0.1.0/30", "10.0.0.2") == ["10.0.0.1", "10.0.1.1", "10.0.0.2", "10.0.1.2"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.0.0.1", "are no hosts"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("::", "is no host"),
        ("10.0.0.0/16", "65,534 hosts are more than 4,096"),
        ("fd00::/64", "a /64 would take"),
        ("10.0.0.300", "is no target"),
        ("10.0.0.0/33", "is no target"),
        ("a b", "is no target"),
        ("-oops;", "is no target"),
        ("", "an empty word is no target"),
        ("x" * 300, "is no target"),
        ("nothing.lan", "has no address"),
    ],
)
def test_what_cannot_be_scanned_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ScanError, match=reason) as caught:
        addresses(text, permitted=True)
    assert caught.value.mend


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "8.8.8.0/30", "172.32.0.1", "2001:db8::1", "web.example", "::ffff:8.8.8.8"]
)
def test_what_is_not_private_needs_the_stated_permission(text: str) -> None:
    with pytest.raises(ScanPermissionError, match="permission") as caught:
        addresses(text)
    assert "--i-have-permission" in caught.value.mend
    assert addresses(text, permitted=True)


def test_a_network_that_is_partly_private_is_not_private() -> None:
    assert is_own(ipaddress.ip_address("169.254.0.0"))
    with pytest.raises(ScanPermissionError):
        addresses("169.254.0.0/15", hosts_max=1 << 20)


def test_many_hosts_have_to_be_asked_for_and_still_have_an_end() -> None:
    assert len(addresses("10.0.0.0/16", hosts_max=1 << 20)) == 65_534
    assert len(addresses("fd00::/116")) == 4_095
    with pytest.raises(ScanError, match="one scan takes"):
        addresses("10.0.0.0/8", hosts_max=1 << 20)
    with pytest.raises(ScanError, match="all targets"):
        addresses("10.0.0.0/21", "10.1.0.0/20", "10.2.0.0/21")


def test_no_target_is_an_error() -> None:
    with pytest.raises(ScanError, match="no target"):
        expand([], resolve)


@given(st.text(max_size=40))
def test_any_text_is_addresses_or_one_error(text: str) -> None:
    def nobody(name: str) -> list[str]:
        return ["10.0.0.1"]

    try:
        found = expand([text], nobody)
    except ScanError:
        return
    assert all(is_own(ipaddress.ip_address(target.address.partition("%")[0])) for target in found)
