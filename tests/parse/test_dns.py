"""DNS: messages built by hand after RFC 1035."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.dns import SPEC
from tests.parse.checks import mutated, same_however_cut, survives
from tests.parse.drive import C, Piece, S, Talk, Told, talk

NAME = b"\x03www\x07example\x03com\0"


def message(flags: int, question: bytes = NAME + b"\0\1\0\1", *records: bytes, ident: int = 7, extra: int = 0) -> bytes:
    """A message with one question and these answers."""
    return (
        struct.pack("!6H", ident, flags, bool(question), len(records) - extra, 0, extra) + question + b"".join(records)
    )


def record(rrtype: int, data: bytes, name: bytes = b"\xc0\x0c", ttl: int = 60) -> bytes:
    return name + struct.pack("!HHIH", rrtype, 1, ttl, len(data)) + data


ASK = message(0x0100)
SOA = b"\xc0\x0c\x04root\xc0\x10" + struct.pack("!5I", 1, 2, 3, 4, 5)
RECORDS: dict[str, tuple[bytes, dict[str, Any], str | None]] = {  # name: (record, EVE, Zeek)
    "A": (record(1, b"\1\2\3\4"), {"rrtype": "A", "rdata": "1.2.3.4"}, "1.2.3.4"),
    "AAAA": (
        record(28, b"\x20\1" + bytes(13) + b"\1"),
        {"rrtype": "AAAA", "rdata": "2001:0000:0000:0000:0000:0000:0000:0001"},
        "2001::1",
    ),
    "CNAME": (record(5, b"\1A\xc0\x10"), {"rrtype": "CNAME", "rdata": "A.example.com"}, "a.example.com"),
    "MX": (record(15, b"\0\5\2mx\xc0\x10"), {"rrtype": "MX", "rdata": "mx.example.com"}, "mx.example.com"),
    "TXT": (record(16, b"\2hi"), {"rrtype": "TXT", "rdata": "hi"}, "TXT 2 hi"),
    "SRV": (
        record(33, struct.pack("!3H", 1, 2, 3) + NAME),
        {"rrtype": "SRV", "srv": {"priority": 1, "weight": 2, "port": 3, "name": "www.example.com"}},
        "www.example.com",
    ),
    "SOA": (
        record(6, SOA),
        {
            "rrtype": "SOA",
            "soa": {"mname": "www.example.com", "rname": "root.example.com", "serial": 1, "refresh": 2, "retry": 3,
                    "expire": 4, "minimum": 5},
        },
        "www.example.com",
    ),
    "SSHFP": (
        record(44, b"\1\2\xab\xcd"),
        {"rrtype": "SSHFP", "sshfp": {"fingerprint": "ab:cd", "algo": 1, "type": 2}},
        "SSHFP: abcd",
    ),
    "DS": (record(43, b"\0\1\5\2\0"), {"rrtype": "DS"}, "DS 5 2"),
    "RRSIG": (record(46, b"\0\1" + bytes(16) + b"\xc0\x10"), {"rrtype": "RRSIG"}, "RRSIG 1 example.com"),
    "CAA": (record(257, b"\0\5issueca.x"), {"rrtype": "CAA"}, "CAA 0 issue ca.x"),
    "unknown": (record(9999, b"?"), {"rrtype": "9999"}, "<unknown type=9999>"),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_each_type(name: str) -> None:
    wire, eve, zeek = RECORDS[name]
    told = talk(SPEC, [(C, ASK), (S, message(0x8180, NAME + b"\0\1\0\1", wire))], Told("udp"))
    assert told.events[1][1]["dns"]["answers"] == [{"rrname": "www.example.com", "ttl": 60, **eve}]
    assert told.zeek[0][1]["answers"] == [zeek]


def test_a_question_and_its_answer() -> None:
    answer = message(0x8180, NAME + b"\0\1\0\1", record(1, b"\1\2\3\4"))
    told = talk(SPEC, [(C, ASK), (S, answer)], Told("udp"))
    assert told.events[0] == (
        "dns",
        {
            "dns": {
                "version": 3, "type": "request", "id": 7, "flags": "100", "opcode": 0, "rcode": "NOERROR", "tx_id": 0,
                "rd": True, "queries": [{"rrname": "www.example.com", "rrtype": "A"}],
            }
        },
        C,
        None,
    )  # fmt: skip
    dns = told.events[1][1]["dns"]
    assert (dns["tx_id"], dns["type"], dns["qr"], dns["ra"]) == (1, "response", True, True)
    assert dns["grouped"] == {"A": ["1.2.3.4"]}
    assert told.names == ["www.example.com"]
    row = told.zeek[0][1]
    assert (row["qtype_name"], row["rcode_name"], row["TTLs"], row["rejected"]) == ("A", "NOERROR", [60.0], False)


def test_every_string_of_a_text_is_an_answer() -> None:
    told = talk(SPEC, [(S, message(0x8180, NAME + b"\0\x10\0\1", record(16, b"\2hi\0")))], Told("udp"))
    dns = told.events[0][1]["dns"]
    assert [answer["rdata"] for answer in dns["answers"]] == ["hi", ""]
    assert dns["grouped"] == {"TXT": ["hi", ""]}


def test_options_of_edns_are_shown_and_an_empty_one_is_not() -> None:
    for data, shown in ((b"", None), (b"\0\x0a\0\2\1\2", [{"code": 10, "data": "0102"}])):
        wire = message(0x0100, NAME + b"\0\1\0\1", record(41, data, b"\0", 0), extra=1)
        dns = talk(SPEC, [(C, wire)], Told("udp")).events[0][1]["dns"]
        assert (dns["additionals"][0]["opt"] if "additionals" in dns else None) == shown


def test_over_tcp_the_same_however_it_is_cut() -> None:
    pieces: list[Piece] = []
    for side, flags in ((C, 0x100), (S, 0x8183)):
        wire = message(flags)
        pieces.append((side, struct.pack("!H", len(wire)) + wire))
    told = same_however_cut(SPEC, pieces)
    assert [event[1]["dns"]["rcode"] for event in told.events] == ["NOERROR", "NXDOMAIN"]
    assert told.zeek[0][1]["rejected"] is True


def test_after_a_gap_the_next_message_is_found() -> None:
    session = Talk(SPEC, Told("tcp"))
    wire = struct.pack("!H", len(ASK)) + ASK
    session.send(C, wire)
    session.gap(C, 100)
    session.send(C, b"\xff" * 40)
    session.send(C, wire)
    assert len(session.told.events) == 2


@pytest.mark.parametrize(
    ("wire", "slug"),
    [
        (message(0x0140), "z_flag_set"),
        (message(0x4900), "invalid_opcode"),
        (ASK[:-3], "malformed_data"),
        (message(0x0100, b"\xc0\x0c\0\1\0\1"), "infinite_loop"),
        (message(0x0100, b"\1a" * 256 + b"\0\0\1\0\1"), "too_many_labels"),
        (message(0x0100, NAME + b"\0\1\0\1", b"\xff", extra=1), "invalid_additionals"),
    ],
)
def test_what_is_forbidden_is_an_anomaly(wire: bytes, slug: str) -> None:
    assert talk(SPEC, [(C, wire)], Told("udp")).anomalies == [slug]


def test_long_names_are_cut_and_marked() -> None:
    long = b"\x3f" + b"a" * 63
    told = talk(SPEC, [(C, message(0x0100, long * 20 + b"\0\0\1\0\1"))], Told("udp"))
    query = told.events[0][1]["dns"]["queries"][0]
    assert (len(query["rrname"]), query["rrname_truncated"], told.anomalies) == (1025, True, ["name_too_long"])


def test_options_choose_what_is_written() -> None:
    pieces = [(C, ASK), (S, message(0x8180))]
    for options, kinds in (
        ({"requests": False}, ["response"]),
        ({"responses": False}, ["request"]),
        ({"types": ["aaaa"]}, []),
        ({"types": ["a"]}, ["request", "response"]),
        ({"udp.enabled": False}, []),
    ):
        events = talk(SPEC, pieces, Told("udp", options)).events
        assert [event[1]["dns"]["type"] for event in events] == kinds


def test_names_point_to_each_other_in_linear_work() -> None:
    chain = b"".join(struct.pack("!H", 0xC000 | 12 + 2 * at) for at in range(200))
    wire = struct.pack("!6H", 1, 0x8180, 0, 300, 0, 0) + b"\0" + chain
    wire += b"".join(record(1, b"\1\2\3\4", struct.pack("!H", 0xC00D + 2 * (at % 200))) for at in range(300))
    talk(SPEC, [(S, wire)], Told("udp"))


def test_probe_knows_messages_and_refuses_others() -> None:
    assert SPEC.probe(ASK, C, True) is Match.YES
    assert SPEC.probe(ASK, C, False) is Match.YES
    assert SPEC.probe(struct.pack("!H", len(ASK)) + ASK, C, True) is Match.YES
    assert SPEC.probe(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", C, True) is Match.NO


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")
    survives(SPEC, pieces, "tcp")


@settings(max_examples=50)
@given(st.sampled_from(sorted(RECORDS)), st.integers(0, 99), st.integers(0, 255), st.integers(0, 20))
def test_any_change(name: str, at: int, byte: int, cut: int) -> None:
    survives(SPEC, [(S, mutated(message(0x8180, NAME + b"\0\1\0\1", RECORDS[name][0]), at, byte, cut))], "udp")


def test_probe_of_a_long_message_whose_end_is_not_there() -> None:
    wire = struct.pack("!H6H", 5000, 1, 0x100, 200, 0, 0, 0) + NAME
    assert (SPEC.probe(wire, C, True), SPEC.probe(wire, C, False)) == (Match.YES, Match.NO)
    assert SPEC.probe(struct.pack("!H6H", 500, 1, 0x100, 200, 0, 0, 0) + NAME, C, True) is Match.NO
