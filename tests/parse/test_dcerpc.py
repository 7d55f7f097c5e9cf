"""DCE/RPC: an association made by hand, calls as datagrams, and what every parser keeps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.dcerpc import SPEC
from nsm.wire.dcerpc import CALLS_MAX
from tests.parse.drive import C, Piece, S, Told, byte_by_byte, talk
from tests.wire.dce_made import authenticate, bind, bind_ack, pdu, request, response

WHOLE: list[Piece] = [
    (C, bind()),
    (S, bind_ack()),
    (C, request(64, b"x" * 10)),
    (S, response(b"y" * 20, flags=1) + response(b"y" * 5, flags=2)),
]


def test_calls_are_paired() -> None:
    told = talk(SPEC, WHOLE)
    first, second = (event["dcerpc"] for _, event, _, _ in told.events)
    uuid = "12345778-1234-abcd-ef00-0123456789ac"
    assert first["interfaces"] == [{"uuid": uuid, "version": "1.0", "ack_result": 0}]
    assert (first["request"], first["response"], first["call_id"], first["rpc_version"]) == (
        "BIND",
        "BINDACK",
        1,
        "5.0",
    )
    assert second["interfaces"] == [{"uuid": uuid, "version": "1.0", "service": "samr", "procedure": "SamrConnect5"}]
    assert (second["req"]["opnum"], second["res"]["frag_cnt"]) == (64, 2)
    ((log, row),) = told.zeek
    assert (log, row["named_pipe"], row["endpoint"], row["operation"]) == (
        "dce_rpc",
        "\\PIPE\\samr",
        "samr",
        "SamrConnect5",
    )


def test_same_said_whole_and_byte_by_byte() -> None:
    assert talk(SPEC, byte_by_byte(WHOLE)).said == talk(SPEC, WHOLE).said


def test_a_login_is_a_row() -> None:
    told = talk(SPEC, [(C, pdu(16, bytes(4), auth=authenticate()))])
    assert [(log, row["username"]) for log, row in told.zeek] == [("ntlm", "alice")]


def test_answers_without_a_call_and_calls_without_an_answer() -> None:
    told = talk(SPEC, [(S, response(call=7)), (C, request(1, call=8))])
    lost, open_call = (event["dcerpc"] for _, event, _, _ in told.events)
    assert (lost["request"], lost["response"]) == ("REQUEST_LOST", "RESPONSE")
    assert "response" not in open_call


def test_open_calls_are_bounded() -> None:
    told = talk(SPEC, [(C, b"".join(request(1, call=number) for number in range(CALLS_MAX + 9)))])
    assert len(told.events) == CALLS_MAX


def test_datagrams() -> None:
    def datagram(kind: int) -> bytes:
        return (
            bytes((4, kind, 0, 0, 0x10, 0, 0, 0))
            + bytes(32)
            + bytes(range(16))
            + bytes(8)
            + b"\5\0\0\0\3\0"
            + bytes(10)
        )

    told = talk(SPEC, [(C, datagram(0)), (S, datagram(2))], Told("udp"))
    call = told.events[0][1]["dcerpc"]
    assert (call["seqnum"], call["req"]["opnum"], call["activityuuid"][:8]) == (5, 3, "03020100")
    assert SPEC.probe(datagram(0), C, False) is Match.YES


@pytest.mark.parametrize(
    ("data", "match"), [(bind(), Match.YES), (b"\5\0\x0b", Match.MORE), (b"\5\2\0", Match.NO), (b"GET", Match.NO)]
)
def test_probe(data: bytes, match: Match) -> None:
    assert SPEC.probe(data, C, False) is match


def test_what_is_none_is_malformed() -> None:
    assert talk(SPEC, [(C, b"\5\0\x63" + bytes(20))]).anomalies == ["malformed_data"]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from((C, S)), st.integers(0, 16), st.binary(max_size=50)), max_size=6),
    st.binary(max_size=90),
)
def test_any_bytes(pieces: list[tuple[int, int, bytes]], data: bytes) -> None:
    talk(SPEC, [(C if side == 0 else S, pdu(kind, body)) for side, kind, body in pieces])
    talk(SPEC, [(C, data)])
    talk(SPEC, [(C, b"\4" + data)], Told("udp"))
