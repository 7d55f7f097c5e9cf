"""Redis: commands and replies built by hand after RESP 2 and 3."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.redis import SPEC
from tests.parse.checks import same_however_cut, survives
from tests.parse.drive import C, Piece, S, Talk, Told, talk


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def rows(told: Told) -> list[tuple[object, ...]]:
    return [(*row.values(),) for _, row in told.zeek]


def test_commands_and_replies_in_order_the_same_however_cut() -> None:
    told = same_however_cut(
        SPEC,
        [(C, command(b"SET", b"k", b"v") + command(b"get", b"k") + b"PING\r\n" + command(b"AUTH", b"secret")),
         (S, b"+OK\r\n$1\r\nv\r\n+PONG\r\n-ERR no\r\n")],
    )  # fmt: skip
    assert rows(told) == [
        ("SET", "k", "v", True, "OK"), ("get", "k", None, True, "v"), ("PING", None, None, True, "PONG"),
        ("AUTH", None, None, False, "ERR no"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (b"*2\r\n$1\r\na\r\n:7\r\n", "[a, 7]"),
        (b"*1\r\n*1\r\n+x\r\n", "[x]"),
        (b"%1\r\n+k\r\n#t\r\n", "[k, t]"),
        (b"$-1\r\n", None),
        (b"*0\r\n", None),
        (b"_\r\n", None),
        (b">1\r\n+told\r\n+OK\r\n", "OK"),
    ],
)
def test_replies_of_all_kinds(reply: bytes, value: str | None) -> None:
    told = same_however_cut(SPEC, [(C, command(b"GET", b"k")), (S, reply)])
    assert [(row["success"], row["reply__value"]) for _, row in told.zeek] == [
        (True, value or told.zeek[0][1]["reply__value"])
    ]


def test_replies_can_be_turned_off() -> None:
    words = [command(b"CLIENT", b"REPLY", mode) for mode in (b"OFF", b"SKIP", b"ON")]
    ping = command(b"PING")
    told = talk(SPEC, [(C, words[0] + ping + words[2] + words[1] + ping + ping), (S, b"+OK\r\n+PONG\r\n")])
    assert [row["success"] for _, row in told.zeek] == [None, None, None, None, True, True]


def test_long_values_are_skipped() -> None:
    session = Talk(SPEC, Told("tcp"))
    session.send(C, command(b"SET", b"k", b"v" * 5000)[:2000])
    session.send(C, command(b"SET", b"k", b"v" * 5000)[2000:])
    session.finish()
    assert len(session.told.zeek[0][1]["cmd__value"]) == 1024


@pytest.mark.parametrize(
    ("side", "data", "slug"),
    [(C, b"*x\r\n", "redis.length"), (C, b"*1\r\n+x\r\n", "redis.argument"), (S, b"?\r\n", "redis.reply"),
     (S, b"*1\r\n" * 40, "redis.depth"), (C, b"*9999999\r\n", "redis.arguments")],
)  # fmt: skip
def test_what_is_no_redis_ends_it(side: Side, data: bytes, slug: str) -> None:
    assert talk(SPEC, [(side, data)]).anomalies == [slug]


def test_probe() -> None:
    asked = [SPEC.probe(data, C, False) for data in (command(b"PING"), b"*1", b"*x", b"PING\r\n")]
    assert asked == [Match.YES, Match.MORE, Match.NO, Match.NO]
    assert (SPEC.probe(b"PING\r\n", C, True), SPEC.probe(b"+OK\r\n", S, True)) == (Match.YES, Match.YES)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "tcp")
    survives(SPEC, [(side, b"*2\r\n$1\r\nx\r\n" + data + b"\r\n") for side, data in pieces], "tcp")
