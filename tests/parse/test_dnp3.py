"""DNP3: frames built by hand after IEEE 1815."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.dnp3 import SPEC, checksum
from tests.parse.checks import mutated, same_however_cut, survives
from tests.parse.drive import C, Piece, S, Talk, Told, talk


def frame(user: bytes, control: int = 0xC4) -> bytes:
    head = b"\x05\x64" + struct.pack("<BBHH", len(user) + 5, control, 1, 2)
    blocks = [head, *(user[at : at + 16] for at in range(0, len(user), 16))]
    return b"".join(block + struct.pack("<H", checksum(block)) for block in blocks)


READ = frame(b"\xc0\xc1\x01\x3c\x02\x06")
ANSWER = frame(b"\xc0\xc1\x81\x90\x00" + b"\x1e\x02\x00\x05\x06" + b"\x01\x07\x00" + b"\x21\xff\xff", 0x44)


def test_the_checksum_is_the_standard_s() -> None:
    assert checksum(b"\x05\x64\x05\xc0\x01\x00\x00\x04") == 0x21E9


def test_a_request_and_its_response_the_same_however_cut() -> None:
    told = same_however_cut(SPEC, [(C, READ), (S, ANSWER)])
    ask, tell = (event[1]["dnp3"] for event in told.events)
    assert ask["application"]["objects"] == [
        {
            "group": 60,
            "variation": 2,
            "qualifier": 6,
            "prefix_code": 0,
            "range_code": 6,
            "start": 0,
            "stop": 0,
            "count": 0,
        }
    ]
    assert (tell["type"], tell["src"], tell["iin"]) == ("response", 2, {"indicators": ["device_restart", "need_time"]})
    points = tell["application"]["objects"][0]["points"]
    assert [(point["index"], point["value"], point["local_forced"]) for point in points] == [(5, 7, 0), (6, -1, 0)]
    assert told.zeek[0][1] == {"fc_request": "READ", "fc_reply": "RESPONSE", "iin": 0x9000}
    assert told.services == ["dnp3_tcp"]


def test_segments_make_a_message() -> None:
    told = talk(SPEC, [(C, frame(b"\x40\xc1\x01\x3c")), (C, frame(b"\x81\x02\x06"))])
    assert told.events[0][1]["dnp3"]["application"]["objects"][0]["variation"] == 2


def test_packed_states_and_relays_and_files() -> None:
    packed = frame(b"\xc0\xc1\x81\0\0" + b"\x01\x01\x00\x00\x02\x05")
    relay = frame(b"\xc0\xc1\x03" + b"\x0c\x01\x17\x01\x04" + b"\x03\x01" + struct.pack("<IIB", 100, 200, 0))
    file = frame(b"\xc0\xc1\x01" + b"\x46\x05\x5b\x01\x09\x00" + struct.pack("<II", 3, 4) + b"!")
    events = talk(SPEC, [(S, packed), (C, relay), (C, file)]).events
    points = [event[1]["dnp3"]["application"]["objects"][0]["points"] for event in events]
    assert [point["state"] for point in points[0]] == [1, 0, 1]
    assert (points[1][0]["index"], points[1][0]["op_type"], points[1][0]["offtime"]) == (4, 3, 200)
    assert points[2] == [{"prefix": 9, "index": 0, "size": 9, "file_handle": 3, "block_number": 4, "file_data": "!"}]


@pytest.mark.parametrize(
    ("data", "anomalies"),
    [
        (READ[:8] + b"\0\0" + READ[10:], ["bad_link_crc"]),
        (READ[:-2] + b"\0\0", ["bad_transport_crc"]),
        (b"\x05\x64\x04" + bytes(10), ["len_too_small"]),
        (frame(b"\xc0\xc1\x02\xc8\x01\x07\x01x"), ["unknown_object"]),
        (frame(b"\xc0\xc1\x02\x1e\x01\x02" + struct.pack("<II", 0, 99_999)), ["too_many_points"]),
        (frame(b"\xc0\xc1\x01" + b"\x3c\x02\x06" * 3), ["too_many_objects"]),
        (frame(b"\xc0\xc1\x02\x1e\x01\x00\x05\x04"), []),
    ],
)
def test_what_is_forbidden_is_an_anomaly(data: bytes, anomalies: list[str]) -> None:
    assert talk(SPEC, [(C, data)], Told("tcp", {"max_objects": 2})).anomalies == anomalies


def test_after_a_gap_the_next_frame_is_found() -> None:
    session = Talk(SPEC, Told("tcp"))
    session.send(C, READ[:12])
    session.gap(C, 5)
    session.send(C, b"\x05junk" + READ)
    assert len(session.told.events) == 1


def test_probe() -> None:
    asked = [SPEC.probe(data, C, False) for data in (READ, b"\x05\x64\x08", READ[:8] + b"\0\0", b"GET / HTTP/1.1")]
    assert asked == [Match.YES, Match.MORE, Match.NO, Match.NO]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "tcp")
    survives(SPEC, [(side, frame(data)) for side, data in pieces], "udp")


@settings(max_examples=50)
@given(st.integers(3, 99), st.integers(0, 255), st.integers(0, 9))
def test_any_change(at: int, byte: int, cut: int) -> None:
    user = b"\xc0\xc1\x81\x90\x00" + b"\x1e\x02\x00\x05\x06" + b"\x01\x07\x00" + b"\x46\x03\x5b\x01\x20\x00" + bytes(40)
    survives(SPEC, [(S, frame(mutated(user, at, byte, cut)))], "udp")
