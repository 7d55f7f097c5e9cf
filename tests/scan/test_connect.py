"""Plain connections: answers, sockets that are used again, and the limit on open files."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsm.model.scan import PortState
from nsm.scan.connect import ConnectProber
from nsm.scan.packets import Told


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def prober() -> Iterator[ConnectProber]:
    made = ConnectProber(["127.0.0.1"])
    yield made
    made.close()


def settled(prober: ConnectProber, number: int) -> list[Told]:
    found: list[Told] = []
    until = time.monotonic() + 5
    while len(found) < number and time.monotonic() < until:
        found += prober.receive(0.05)
    return found


def test_open_and_closed_ports_are_told_apart(prober: ConnectProber, listener: int) -> None:
    assert not prober.send([(0, listener, 1), (0, 1, 2)])
    assert sorted(settled(prober, 2), key=lambda told: told[1]) == [
        (0, 1, 2, PortState.CLOSED, "refused", 0),
        (0, listener, 1, PortState.OPEN, "syn-ack", 0),
    ]


def test_refused_sockets_are_used_again(prober: ConnectProber) -> None:
    before = open_files()
    for _ in range(5):
        assert not prober.send([(0, port, 1) for port in range(1, 21)])
        found = settled(prober, 20)
        assert {told[3] for told in found} == {PortState.CLOSED}
        assert sorted(told[1] for told in found) == list(range(1, 21))
    assert open_files() <= before + 20


def test_more_than_the_files_allow_is_left_for_later(prober: ConnectProber) -> None:
    prober.files_max = 3
    probes = [(0, port, 1) for port in range(1, 6)]
    assert list(prober.send(probes)) == probes[3:]


def test_every_socket_is_closed_at_the_end(listener: int) -> None:
    before = open_files()
    prober = ConnectProber(["127.0.0.1", "::1"])
    prober.send([(0, listener, 1), (0, 1, 1), (1, 1, 1)])
    prober.receive(0.0)
    prober.close()
    assert open_files() == before
