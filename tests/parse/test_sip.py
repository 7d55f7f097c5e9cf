"""SIP: messages built by hand after RFC 3261."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.sip import SPEC
from tests.parse.checks import same_however_cut, survives
from tests.parse.drive import C, Piece, S, Talk, Told, talk

SDP = b"v=0\r\no=- 1 1 IN IP4 h\r\ns=call\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=rtpmap:0 x\r\n"


def message(first: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [first, *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


INVITE = message(
    "INVITE sip:b@h SIP/2.0", "v: SIP/2.0/UDP a;branch=z9", "From: <sip:a@h>;tag=1", "To: <sip:b@h>", "Call-ID: 7",
    "CSeq: 1 INVITE", "User-Agent: phone", "Content-Type: application/sdp", body=SDP,
)  # fmt: skip
TRYING = message("SIP/2.0 100 Trying", "Via: SIP/2.0/UDP a", "To: <sip:b@h>")
BUSY = message("SIP/2.0 486 Busy Here", "Via: SIP/2.0/UDP a", "To: <sip:b@h>;tag=2", "Warning: 1 h x")


def test_a_request_with_a_description() -> None:
    event = talk(SPEC, [(C, INVITE)], Told("udp")).events[0][1]["sip"]
    assert event["request_line"] == "INVITE sip:b@h SIP/2.0"
    assert event["sdp"]["media_descriptions"] == [{"media": "audio 4000 RTP/AVP 0", "attributes": ["rtpmap:0 x"]}]
    assert event["sdp"]["time_descriptions"] == [{"time": "0 0"}]


def test_a_row_at_every_answer_and_a_new_one_after_the_final() -> None:
    told = talk(SPEC, [(C, INVITE), (S, TRYING), (S, BUSY), (C, message("ACK sip:b@h SIP/2.0"))], Told("udp"))
    rows = [row for _, row in told.zeek]
    assert [(row["method"], row["status_code"], len(row["response_path"])) for row in rows] == [
        ("INVITE", 100, 1),
        ("INVITE", 486, 2),
        ("ACK", None, 0),
    ]
    assert (rows[1]["request_path"], rows[1]["request_from"], rows[1]["warning"]) == (
        ["SIP/2.0/UDP a"],
        "<sip:a@h>",
        "1 h x",
    )


def test_over_tcp_the_same_however_it_is_cut() -> None:
    told = same_however_cut(SPEC, [(C, INVITE + INVITE), (S, b"\r\n\r\n" + BUSY)])
    assert [event[1]["sip"].get("code") for event in told.events] == [None, None, "486"]


def test_a_long_body_is_skipped_and_a_gap_ends_it() -> None:
    session = Talk(SPEC, Told("tcp"))
    session.send(C, message("INFO sip:b@h SIP/2.0", body=b"x" * 40_000) + INVITE)
    session.gap(C, 9)
    session.send(C, INVITE)
    assert [event[1]["sip"]["method"] for event in session.told.events] == ["INFO", "INVITE"]


def test_what_is_no_message_is_an_anomaly() -> None:
    assert talk(SPEC, [(C, b"INVITE sip:b@h SIP/2.0\r\n")], Told("udp")).anomalies == ["invalid_data"]
    assert talk(SPEC, [(C, b"INVITE\r\n\r\n")], Told("udp")).anomalies == ["invalid_data"]


def test_probe() -> None:
    asked = [SPEC.probe(data, C, False) for data in (INVITE, BUSY, b"INV", b"INVITE sip:b", b"GET / HTTP/1.1\r\n")]
    assert asked == [Match.YES, Match.YES, Match.MORE, Match.MORE, Match.NO]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")
    survives(SPEC, [(side, data + b"\r\n\r\n") for side, data in pieces], "tcp")
