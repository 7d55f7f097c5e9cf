"""SNMP: messages built by hand after RFC 1157, RFC 3416 and RFC 3412."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.snmp import SPEC
from tests.parse.checks import mutated, survives
from tests.parse.drive import C, Piece, S, Told, talk


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes([tag, len(body)]) + body


def number(value: int) -> bytes:
    return tlv(2, bytes([value]))


DESCRIPTION = bytes((0x2B, 6, 1, 2, 1, 1, 1, 0))
UP_TIME = bytes((0x2B, 6, 1, 2, 1, 1, 3, 0))


def pdu(tag: int, *variables: bytes) -> bytes:
    return tlv(tag, number(1), number(0), number(0), tlv(0x30, *variables))


def message(version: int, tag: int, *variables: bytes) -> bytes:
    return tlv(0x30, number(version), tlv(4, b"public"), pdu(tag, *variables))


def variable(oid: bytes, value: bytes) -> bytes:
    return tlv(0x30, tlv(6, oid), value)


GET = message(1, 0xA0, variable(DESCRIPTION, tlv(5)))
ANSWER = message(1, 0xA2, variable(DESCRIPTION, tlv(4, b"box")), variable(UP_TIME, tlv(0x43, b"\x03\xe8")))
TRAP = tlv(
    0x30, number(0), tlv(4, b"public"),
    tlv(0xA4, tlv(6, b"\x2b\6\1"), tlv(0x40, b"\x0a\0\0\1"), number(2), number(0), tlv(0x43, b"\1"), tlv(0x30)),
)  # fmt: skip


def version3(flags: int, scoped: bytes) -> bytes:
    user = tlv(0x30, tlv(4, b"engine"), number(1), number(2), tlv(4, b"alice"), tlv(4), tlv(4))
    return tlv(
        0x30, number(3), tlv(0x30, number(1), number(9), tlv(4, bytes([flags])), number(3)), tlv(4, user), scoped
    )


def test_requests_and_answers() -> None:
    told = talk(SPEC, [(C, GET), (S, ANSWER)], Told("udp"))
    assert told.events[0][1]["snmp"] == {
        "version": 2, "pdu_type": "get_request", "community": "public", "vars": ["1.3.6.1.2.1.1.1.0"],
    }  # fmt: skip
    ((_, row),) = told.zeek
    assert (row["version"], row["get_requests"], row["get_responses"], row["display_string"]) == ("2c", 1, 2, "box")
    assert row["up_since"] == 1_700_000_000 - 10


def test_a_trap_names_who_and_what() -> None:
    event = talk(SPEC, [(C, TRAP)], Told("udp")).events[0][1]["snmp"]
    assert (event["trap_type"], event["trap_oid"], event["trap_address"]) == ("link_down", "1.3.6.1", "10.0.0.1")


def test_version_3_has_a_user_and_may_be_encrypted() -> None:
    plain = version3(0, tlv(0x30, tlv(4), tlv(4), pdu(0xA8)))
    told = talk(SPEC, [(C, plain), (C, version3(2, tlv(4, b"??")))], Told("udp"))
    assert [event[1]["snmp"] for event in told.events] == [
        {"version": 3, "pdu_type": "report", "usm": "alice"},
        {"version": 3, "pdu_type": "encrypted", "usm": "alice"},
    ]


def test_what_is_odd_is_an_anomaly() -> None:
    told = talk(SPEC, [(C, GET), (C, TRAP), (C, GET[:-1])], Told("udp"))
    assert told.anomalies == ["version_mismatch", "malformed_data"]


def test_probe() -> None:
    assert [SPEC.probe(version3(2, b""), C, port) for port in (True, False)] == [Match.YES, Match.NO]
    assert [SPEC.probe(data, C, False) for data in (GET, TRAP, GET[:9])] == [Match.YES, Match.YES, Match.NO]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")


@settings(max_examples=50)
@given(
    st.sampled_from([GET, ANSWER, TRAP, version3(2, b"")]), st.integers(0, 99), st.integers(0, 255), st.integers(0, 9)
)
def test_any_change(golden: bytes, at: int, byte: int, cut: int) -> None:
    survives(SPEC, [(C, mutated(golden, at, byte, cut))], "udp")
