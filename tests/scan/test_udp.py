"""What the kernel's error queue says of UDP ports."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.model.scan import PortState
from nsm.scan.udp import IP_RECVERR, IPV6_RECVERR, ORIGIN_ICMP, ORIGIN_ICMP6, _meaning


def entry(kind: int, origin: int, icmp: int, code: int) -> list[tuple[int, int, bytes]]:
    return [(0, kind, struct.pack("=IBBBBII", 111, origin, icmp, code, 0, 0, 0) + bytes(16))]


@pytest.mark.parametrize(
    ("control", "state", "reason"),
    [
        (entry(IP_RECVERR, ORIGIN_ICMP, 3, 3), PortState.CLOSED, "icmp 3/3"),
        (entry(IP_RECVERR, ORIGIN_ICMP, 3, 13), PortState.FILTERED, "icmp 3/13"),
        (entry(IP_RECVERR, ORIGIN_ICMP, 3, 4), None, ""),  # too large for the path: not about the port
        (entry(IP_RECVERR, ORIGIN_ICMP, 11, 0), None, ""),
        (entry(IPV6_RECVERR, ORIGIN_ICMP6, 1, 4), PortState.CLOSED, "icmp 1/4"),
        (entry(IPV6_RECVERR, ORIGIN_ICMP6, 1, 1), PortState.FILTERED, "icmp 1/1"),
        (entry(IPV6_RECVERR, ORIGIN_ICMP6, 2, 0), None, ""),
        (entry(IP_RECVERR, 1, 0, 0), None, ""),  # of this machine's own making
        (entry(99, ORIGIN_ICMP, 3, 3), None, ""),
        ([], None, ""),
    ],
)
def test_an_entry_of_the_error_queue(
    control: list[tuple[int, int, bytes]], state: PortState | None, reason: str
) -> None:
    assert _meaning(control) == (state, reason)


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from([11, 25, 1]), st.binary(max_size=40)), max_size=4))
def test_any_entry_is_taken_or_left(control: list[tuple[int, int, bytes]]) -> None:
    state, reason = _meaning(control)
    assert (state is None) == (not reason)
