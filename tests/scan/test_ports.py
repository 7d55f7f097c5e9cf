"""Ports as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import ScanError
from nsm.scan.ports import COMMON, PORT_MAX, ordered, parse


@pytest.mark.parametrize(
    ("text", "tcp", "udp"),
    [
        ("80", {80}, set()),
        ("1-3,80", {1, 2, 3, 80}, set()),
        ("1-3, 2-4", {1, 2, 3, 4}, set()),
        ("T:22,U:53", {22}, {53}),
        ("U:53,161", set(), {53, 161}),
        ("80,U:53,t:22", {80, 22}, {53}),
        ("top3", {80, 443, 22}, set()),
        ("U:top2", set(), {53, 123}),
        ("65535", {65535}, set()),
    ],
)
def test_ports_are_read(text: str, tcp: set[int], udp: set[int]) -> None:
    found = parse(text)
    assert (set(found.tcp), set(found.udp)) == (tcp, udp)


def test_plain_ports_are_of_both_protocols_when_udp_is_wanted() -> None:
    assert parse("53", udp=True) == parse("T:53,U:53")


def test_every_port_is_a_word() -> None:
    assert set(parse("-").tcp) == set(parse("1-65535").tcp) == set(parse("all").tcp)


@pytest.mark.parametrize(
    "text", ["", "0", "65536", "5-1", "a", "80,,81", "X:80", "top0", "top9999", "-5", "1-", "1-2-3", "٣", "T:", "1e3"]
)
def test_what_is_no_port_is_named(text: str) -> None:
    with pytest.raises(ScanError, match="is no port") as caught:
        parse(text)
    assert caught.value.where == "--ports"
    assert caught.value.mend


def test_too_many_items_are_refused() -> None:
    with pytest.raises(ScanError, match="too many"):
        parse(",".join(["80"] * 20_000))


@given(st.sets(st.integers(1, PORT_MAX), max_size=300), st.integers(0, 2**32))
def test_the_order_has_each_port_once_with_common_ones_first(ports: set[int], seed: int) -> None:
    found = ordered(ports, "tcp", seed)
    assert sorted(found) == sorted(ports)
    common = [port in COMMON["tcp"] for port in found]
    assert common == sorted(common, reverse=True)
    assert found == ordered(ports, "tcp", seed)  # the same seed, the same order: a journal relies on it


def test_the_rest_is_shuffled() -> None:
    found = ordered(range(10_000, 20_000), "tcp", 1)
    assert found != sorted(found)
    assert found != ordered(range(10_000, 20_000), "tcp", 2)


def test_the_common_ports_are_enough_for_their_words() -> None:
    assert len(COMMON["tcp"]) >= 200
    assert len(COMMON["udp"]) >= 90
    assert all(1 <= port <= PORT_MAX for ports in COMMON.values() for port in ports)
