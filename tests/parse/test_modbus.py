"""Modbus: messages built by hand after the application protocol 1.1b3."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.modbus import SPEC
from tests.parse.checks import mutated, same_however_cut, survives
from tests.parse.drive import C, Piece, S, Talk, Told, talk


def message(function: int, body: bytes, ident: int = 7, protocol: int = 0) -> bytes:
    return struct.pack("!HHHBB", ident, protocol, len(body) + 2, 10, function) + body


READ = message(1, b"\0\5\0\x08")
ANSWER = message(1, b"\1\xff")


def test_a_request_with_its_response_the_same_however_cut() -> None:
    told = same_however_cut(SPEC, [(C, READ), (S, ANSWER)])
    ((_, event, _, _),) = told.events
    assert event["modbus"] == {
        "id": 1,
        "request": {
            "transaction_id": 7, "protocol_id": 0, "unit_id": 10, "function_raw": 1, "function_code": "RdCoils",
            "category": "PUBLIC_ASSIGNED", "error_flags": "NONE", "access_type": "READ | COILS",
            "read": {"address": 5, "quantity": 8},
        },
        "response": {
            "transaction_id": 7, "protocol_id": 0, "unit_id": 10, "function_raw": 1, "function_code": "RdCoils",
            "category": "PUBLIC_ASSIGNED", "error_flags": "NONE", "access_type": "READ | COILS", "read": {"data": "ff"},
        },
    }  # fmt: skip
    assert [(row["func"], row["pdu_type"]) for _, row in told.zeek] == [("READ_COILS", "REQ"), ("READ_COILS", "RESP")]


def test_an_exception() -> None:
    told = talk(SPEC, [(C, READ), (S, message(0x81, b"\2"))])
    assert told.events[0][1]["modbus"]["response"]["exception"] == {"raw": 2, "code": "IllegalDataAddr"}
    assert (told.zeek[1][1]["func"], told.zeek[1][1]["exception"]) == ("READ_COILS_EXCEPTION", "ILLEGAL_DATA_ADDRESS")


def test_writes_diagnostics_and_interfaces() -> None:
    pieces = [(C, message(6, b"\0\1\0\2", 1)), (C, message(8, b"\0\1\0\0", 2)), (C, message(43, b"\x0e\1\0", 3))]
    events = [event[1]["modbus"]["request"] for event in talk(SPEC, pieces).events]
    assert events[0]["write"] == {"address": 1, "data": 2}
    assert events[1]["diagnostic"] == {"raw": 1, "code": "RestartCommOpt", "data": "0000"}
    assert events[2]["mei"] == {"raw": 14, "code": "RdDevId", "data": "0100"}


@pytest.mark.parametrize(
    ("pieces", "anomalies"),
    [
        ([(C, message(0, b""))], ["invalid_function_code"]),
        ([(C, message(1, b"\0\0\xff\xff"))], ["invalid_value"]),
        ([(C, message(1, b"\0"))], ["invalid_length"]),
        ([(C, message(1, b"\0\0\0\1", protocol=9))], ["invalid_protocol_id"]),
        ([(C, READ), (S, message(0x81, b"\x63"))], ["invalid_exception_code"]),
        ([(S, ANSWER)], ["unsolicited_response"]),
        ([(C, READ), (S, message(2, b"\1\xff"))], ["value_mismatch"]),
        ([(C, b"\0\7\0\0\xff\xff\1\1")], ["invalid_length", "invalid_length"]),
    ],
)
def test_what_is_forbidden_is_an_anomaly(pieces: list[Piece], anomalies: list[str]) -> None:
    assert talk(SPEC, pieces).anomalies == anomalies


def test_after_a_gap_the_next_segment_is_read() -> None:
    session = Talk(SPEC, Told("tcp"))
    session.send(C, READ[:9])
    session.gap(C, 3)
    session.send(C, READ)
    session.finish()
    assert len(session.told.events) == 1


def test_probe_wants_the_port() -> None:
    asked = [SPEC.probe(READ, C, True), SPEC.probe(READ, C, False), SPEC.probe(READ[:5], C, True)]
    assert asked == [Match.YES, Match.NO, Match.MORE]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5), st.integers(0, 50))
def test_any_bytes(pieces: list[Piece], at: int) -> None:
    survives(SPEC, pieces, "tcp")
    survives(SPEC, [(side, message(at, data)) for side, data in pieces], "tcp")
    survives(SPEC, [(C, mutated(READ, at, at * 5, at))], "tcp")
