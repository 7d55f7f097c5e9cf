"""MQTT: packets built by hand after MQTT 3.1.1 and 5.0."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.mqtt import SPEC, limit_of
from tests.parse.checks import mutated, same_however_cut, survives
from tests.parse.drive import C, Piece, S, Talk, Told, talk


def packet(first: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size, left = b"", len(body)
    while left > 127:
        size, left = size + bytes([left & 127 | 128]), left >> 7
    return bytes([first]) + size + bytes([left]) + body


def field(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


CONNECT = packet(
    0x10, field(b"MQTT"), b"\4\xc6\0\x3c", field(b"id"), field(b"gone"), field(b"bye"), field(b"bob"), field(b"pw")
)
CONNACK = packet(0x20, b"\0\0")
CONNECT5 = packet(
    0x10, field(b"MQTT"), b"\5\2\0\x3c", b"\x0c\x21\0\x14\x26" + field(b"k") + field(b"v") + b"\x17\1", field(b"id")
)
SUBSCRIBE = packet(0x82, b"\0\1", field(b"a/b"), b"\1")
FLAGS = {"qos": 0, "retain": False, "dup": False}


def test_a_session_as_events_and_rows() -> None:
    publish = packet(0x33, field(b"t"), b"\0\7", b"hello")
    told = same_however_cut(
        SPEC,
        [(C, CONNECT), (S, CONNACK), (C, SUBSCRIBE), (S, packet(0x90, b"\0\1\1")), (C, publish), (S, packet(0x40, b"\0\7")),
         (C, packet(0xC0)), (S, packet(0xD0)), (C, packet(0xE0))],
    )  # fmt: skip
    first = told.events[0][1]["mqtt"]
    assert first["connect"]["flags"] == {
        "username": True, "password": True, "will_retain": False, "will": True, "clean_session": True,
    }  # fmt: skip
    assert (first["connect"]["will"], first["connect"]["password"]) == ({"topic": "gone", "message": "bye"}, "pw")
    assert first["connack"] == {**FLAGS, "session_present": False, "return_code": 0}
    assert [sorted(event[1]["mqtt"]) for event in told.events[1:]] == [
        ["suback", "subscribe"], ["puback", "publish"], ["pingreq", "pingresp"], ["disconnect"],
    ]  # fmt: skip
    assert [name for name, _ in told.zeek] == ["mqtt_connect", "mqtt_subscribe", "mqtt_publish"]
    assert told.zeek[2][1] == {
        "from_client": True, "retain": True, "qos": "at least once", "status": "ok", "topic": "t", "payload": "hello",
        "payload_len": 5,
    }  # fmt: skip
    assert told.anomalies == []


def test_properties_of_version_5() -> None:
    event = talk(SPEC, [(C, CONNECT5), (C, packet(0xE0, b"\4"))]).events
    assert event[0][1]["mqtt"] == {"disconnect": {**FLAGS, "reason_code": 0}}
    assert event[1][1]["mqtt"]["connect"]["properties"] == {
        "receive_maximum": 20,
        "k": "v",
        "request_problem_information": 1,
    }


def test_passwords_are_left_out_on_request() -> None:
    told = talk(SPEC, [(C, CONNECT)], Told("tcp", {"passwords": False}))
    assert "password" not in told.events[0][1]["mqtt"]["connect"]


def test_long_payloads_are_shown_in_part_and_skipped() -> None:
    publish = packet(0x30, field(b"t"), b"x" * 5000)
    session = Talk(SPEC, Told("tcp"))
    session.send(C, CONNECT + publish[:2000])
    session.send(C, publish[2000:] + packet(0xC0))
    session.finish()
    assert session.told.events[0][1]["mqtt"]["publish"]["message"] == "x" * 1024 + "[truncated 3976 additional bytes]"
    assert session.told.zeek[0][1]["payload_len"] == 5000
    assert len(session.told.events) == 3


def test_messages_over_the_limit_are_cut() -> None:
    told = talk(SPEC, [(C, CONNECT), (C, packet(0x30, field(b"t"), b"x" * 50))], Told("tcp", {"max_msg_length": 45}))
    assert told.events[0][1]["mqtt"] == {"publish": {**FLAGS, "truncated": True, "skipped_length": 55}}


@pytest.mark.parametrize(
    ("pieces", "anomalies"),
    [
        ([(C, SUBSCRIBE)], ["unintroduced_message"]),
        ([(C, CONNECT), (C, CONNECT)], ["double_connect"]),
        ([(C, CONNECT), (S, packet(0x90, b"\0\1\1"))], ["missing_subscribe"]),
        ([(S, CONNACK)], ["missing_connect"]),
        ([(C, CONNECT), (C, packet(0xF0))], ["unassigned_msg_type"]),
        ([(C, CONNECT), (C, packet(0x36, field(b"t"), b"\0\1"))], ["invalid_qos_level"]),
        ([(C, packet(0x10, field(b"MQTT")))], ["malformed_traffic"]),
        ([(C, b"\x10\xff\xff\xff\xff\xff")], ["malformed_traffic"]),
    ],
)
def test_what_is_forbidden_is_an_anomaly(pieces: list[Piece], anomalies: list[str]) -> None:
    assert talk(SPEC, pieces).anomalies == anomalies


def test_topics_share_the_limit_of_text() -> None:
    two = packet(0x82, b"\0\1", field(b"topicX"), b"\0", field(b"topicY"), b"\0")
    told = talk(SPEC, [(C, two)], Told("tcp", {"string_log_limit": 10}))
    assert told.events[0][1]["mqtt"]["subscribe"]["topics"][1]["topic"] == "topi[truncated 2 additional bytes]"
    assert [limit_of(value) for value in (5, "1kb", "1mb", "7", "many")] == [5, 1024, 1_048_576, 7, 1024]


def test_probe() -> None:
    asked = [SPEC.probe(data, C, False) for data in (CONNECT, CONNECT[:5], b"GET /", packet(0xC0))]
    assert asked == [Match.YES, Match.MORE, Match.NO, Match.NO]
    assert [SPEC.probe(data, C, True) for data in (packet(0xC0), b"\xc0", b"\x03")] == [Match.YES, Match.MORE, Match.NO]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "tcp")


@settings(max_examples=50)
@given(st.sampled_from([CONNECT, CONNECT5, SUBSCRIBE]), st.integers(0, 99), st.integers(0, 255), st.integers(0, 9))
def test_any_change(golden: bytes, at: int, byte: int, cut: int) -> None:
    survives(SPEC, [(C, CONNECT), (C, mutated(golden, at, byte, cut)), (S, SUBSCRIBE)], "tcp")
