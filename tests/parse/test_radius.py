"""RADIUS: packets built by hand after RFC 2865."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.radius import SPEC
from tests.parse.checks import mutated, survives
from tests.parse.drive import C, Piece, S, Talk, Told, talk


def packet(code: int, *attributes: tuple[int, bytes]) -> bytes:
    body = b"".join(bytes([kind, len(value) + 2]) + value for kind, value in attributes)
    return bytes([code, 1]) + (20 + len(body)).to_bytes(2, "big") + bytes(16) + body


ASK = packet(1, (1, b"alice"), (31, b"02-00-00-00-00-01"), (2, b"secret"))


def test_a_log_in_is_a_row() -> None:
    session = Talk(SPEC, Told("udp"))
    session.send(C, ASK)
    session.told.ts_us += 500_000
    session.send(S, packet(2, (18, b"hello")))
    session.finish()
    ((_, row),) = session.told.zeek
    assert (row["username"], row["mac"], row["result"], row["ttl"]) == ("alice", "02:00:00:00:00:01", "success", 0.5)
    assert (row["reply_msg"], "secret" in str(row)) == ("hello", False)


def test_refused_and_never_answered() -> None:
    told = talk(SPEC, [(C, ASK), (S, packet(11, (8, b"\x0a\0\0\1"))), (S, packet(3)), (C, ASK)], Told("udp"))
    assert [(row["result"], row["framed_addr"]) for _, row in told.zeek] == [("failed", "10.0.0.1"), ("unknown", None)]


def test_probe() -> None:
    asked = [SPEC.probe(ASK, C, False), SPEC.probe(packet(3), C, True), SPEC.probe(packet(3), C, False)]
    assert [*asked, SPEC.probe(ASK[:-1], C, True)] == [Match.YES, Match.YES, Match.NO, Match.NO]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5), st.integers(0, 99))
def test_any_bytes(pieces: list[Piece], at: int) -> None:
    survives(SPEC, pieces, "udp")
    survives(SPEC, [(C, mutated(ASK, at, at, at))], "udp")
