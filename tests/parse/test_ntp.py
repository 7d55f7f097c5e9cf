"""NTP: messages built by hand after RFC 5905."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.ntp import SPEC, extensions
from tests.parse.checks import survives
from tests.parse.drive import C, Piece, S, Told, talk

STAMP = (2_208_988_800 + 1_700_000_000) << 32 | 1 << 31
ASK = struct.pack("!BBbbII4sQQQQ", 0x23, 0, 6, -20, 0, 65536, b"\0\0\0\0", 0, 0, 0, STAMP)
TELL = struct.pack("!BBbbII4sQQQQ", 0x24, 2, 6, -20, 0, 65536, b"\x0a\0\0\1", STAMP, STAMP, STAMP, STAMP)


def test_each_message_is_an_event_and_a_row() -> None:
    told = talk(SPEC, [(C, ASK), (S, TELL)], Told("udp"))
    assert [event[1]["ntp"] for event in told.events] == [
        {"version": 4, "mode": 3, "stratum": 0, "reference_id": "00:00:00:00"},
        {"version": 4, "mode": 4, "stratum": 2, "reference_id": "0a:00:00:01"},
    ]
    ask, tell = (row for _, row in told.zeek)
    assert (ask["ref_id"], ask["xmt_time"], ask["ref_time"]) == ("\0\0\0\0", 1_700_000_000.5, 0.0)
    assert (tell["ref_id"], tell["poll"], tell["root_disp"], tell["precision"]) == ("10.0.0.1", 64.0, 1.0, 2.0**-20)


def test_extension_fields_are_counted_without_the_authentication() -> None:
    field = b"\1\4\0\x10" + bytes(12)
    assert [extensions(ASK + more) for more in (b"", field * 2, field + bytes(20), bytes(20))] == [0, 2, 1, 0]


def test_a_short_message_is_an_anomaly_and_a_control_message_is_none() -> None:
    assert talk(SPEC, [(C, ASK[:40]), (C, b"\x16\2" + bytes(10))], Told("udp")).anomalies == ["malformed_data"]


def test_probe_wants_the_port() -> None:
    assert (SPEC.probe(ASK, C, True), SPEC.probe(ASK, C, False)) == (Match.YES, Match.NO)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=80)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")
