"""WebSocket: frames of both directions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Side
from nsm.parse.websocket import SPEC
from tests.parse.drive import C, S, Talk, Told, byte_by_byte, talk

MASK = bytes.fromhex("37fa213d")
HELLO = b"\x81\x85" + MASK + bytes.fromhex("7f9f4d5158")  # RFC 6455 section 5.7
LONG = b"\x82\x7e\x01\x00" + bytes(256)
CLOSE = b"\x88\x00"


def test_frames() -> None:
    told = talk(SPEC, [(C, HELLO), (S, LONG + CLOSE)])
    assert [(objects["websocket"], side) for _, objects, side, _ in told.events] == [
        ({"fin": True, "opcode": "text", "mask": 0x37FA213D}, C),
        ({"fin": True, "opcode": "binary"}, S),
        ({"fin": True, "opcode": "connection_close"}, S),
    ]
    assert talk(SPEC, byte_by_byte([(C, HELLO), (S, LONG + CLOSE)])).said == told.said


@pytest.mark.parametrize(("option", "value"), [("payload_printable", "Hello"), ("payload_base64", "SGVsbG8=")])
def test_payload_is_shown_when_asked_for(option: str, value: str) -> None:
    told = talk(SPEC, byte_by_byte([(C, HELLO)]), Told("tcp", {option: True}))
    assert told.events[0][1]["websocket"][option] == value


def test_long_payload_is_skipped() -> None:
    told = Told("tcp")
    Talk(SPEC, told).send(S, b"\x82\x7f\0\0\0\0\x40\0\0\0")
    assert told.skipped[S] == 1 << 30


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([C, S]), st.binary(max_size=40)), max_size=6))
def test_any_bytes(pieces: list[tuple[Side, bytes]]) -> None:
    talk(SPEC, pieces)
