"""A sender keeps what was not acknowledged, bounded, and delivers it after a break."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsm.run.links import LOSSY_WAITING_MAX, Sender, Splitter, listen
from nsm.run.transport import Message, encode


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with listen(str(tmp_path / "a.sock")) as sock:
        sock.settimeout(5.0)
        yield sock


def sender(tmp_path: Path, kept_bytes_max: int = 10_000) -> Sender:
    return Sender(str(tmp_path / "a.sock"), encode("hello", {}), kept_bytes_max)


def received(sock: socket.socket, count: int) -> list[Message]:
    splitter = Splitter()
    found: list[Message] = []
    while len(found) < count:
        found += splitter.feed(sock.recv(1 << 16))
    return found


def test_unacknowledged_messages_come_again_after_a_break_and_others_do_not(
    tmp_path: Path, listening: socket.socket
) -> None:
    sending = sender(tmp_path)
    sending.turn()
    for number in (1, 2, 3):
        sending.send(number, encode("records", {"number": number}))
    sending.turn()
    first, _ = listening.accept()
    first.settimeout(5.0)
    assert [message.kind for message in received(first, 4)] == ["hello", "records", "records", "records"]
    first.sendall(encode("ack", {"numbers": [1, 3]}))
    while sending.waiting > 1:
        sending.turn()
    first.close()
    while sending.connects < 2:
        sending.turn()
    sending.turn()
    second, _ = listening.accept()
    second.settimeout(5.0)
    assert [message.header for message in received(second, 2)] == [{}, {"number": 2}]
    second.close()
    sending.close()


def test_it_says_when_bulk_rows_should_be_left_out_and_when_everything(tmp_path: Path) -> None:
    sending = sender(tmp_path)
    states = []
    for number in range(1, 15):
        sending.send(number, bytes(1_000))
        states.append((sending.full, sending.overfull))
    assert states == [(number > 10, number > 12) for number in range(1, 15)]


def test_messages_that_may_be_lost_are_when_nobody_reads(tmp_path: Path, listening: socket.socket) -> None:
    sending = sender(tmp_path)
    sending.turn()
    assert sending.connected
    for _ in range(LOSSY_WAITING_MAX + 5):
        sending.send(0, b"x")
    assert sending.lost == 5
    sending.close()


def test_a_message_may_come_in_any_pieces() -> None:
    data = encode("a", {"n": 1}) + encode("b", {"n": 2})
    for size in (1, 7, len(data)):
        splitter = Splitter()
        found = [message for at in range(0, len(data), size) for message in splitter.feed(data[at : at + size])]
        assert [(message.kind, message.header["n"]) for message in found] == [("a", 1), ("b", 2)]
