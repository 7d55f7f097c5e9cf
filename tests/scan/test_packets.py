"""Segments that ask, beside another implementation of the checksum; answers that are ours, and those that are not."""

from __future__ import annotations

import ipaddress
import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.iana import PROTO_TCP
from nsm.model.scan import PortState
from nsm.scan.packets import PORT_STEP, Questions

FIRST = 40_000
SECRET = b"s" * 16
V4 = [("10.0.0.1", "10.0.0.2"), ("10.0.0.1", "10.0.0.3")]
V6 = [("fd00::1", "fd00::2")]


def naive_checksum(source: str, target: str, segment: bytes) -> int:
    """RFC 1071 over the pseudo header of RFC 9293, section 3.1; 0 when the segment's own checksum is right."""
    data = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    data += struct.pack("!II", len(segment), PROTO_TCP) + segment
    total = sum(data[at] << 8 | data[at + 1] for at in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@given(
    st.sampled_from([V4, V6]), st.integers(1, 65_535), st.integers(1, 10), st.binary(min_size=1, max_size=32)
)  # fmt: skip
def test_a_probe_is_a_correct_syn(pairs: list[tuple[str, str]], port: int, attempt: int, secret: bytes) -> None:
    segment = Questions(pairs, FIRST, secret).syn(0, port, attempt)
    assert naive_checksum(*pairs[0], segment) == 0
    read = dpkt.tcp.TCP(segment)
    assert (read.sport, read.dport, read.flags, read.off) == (FIRST + attempt - 1, port, dpkt.tcp.TH_SYN, 6)
    assert dpkt.tcp.parse_opts(read.opts) == [(dpkt.tcp.TCP_OPT_MSS, b"\x05\xb4")]


@given(st.integers(1, 65_535), st.integers(1, 10))
def test_an_answer_is_proved_by_what_it_acknowledges(port: int, attempt: int) -> None:
    questions = Questions(V4, FIRST, SECRET)
    sequence = dpkt.tcp.TCP(questions.syn(1, port, attempt)).seq
    assert questions.proves(1, port, (sequence + 1) & 0xFFFFFFFF)
    assert not questions.proves(1, port, sequence)
    assert not questions.proves(0, port, (sequence + 1) & 0xFFFFFFFF)
    assert not questions.proves(1, port % 65_535 + 1, (sequence + 1) & 0xFFFFFFFF)


def test_every_port_has_another_number_and_every_scan_others() -> None:
    questions = Questions(V4, FIRST, SECRET)
    numbers = {(questions.keys[0] + port * PORT_STEP) & 0xFFFFFFFF for port in range(65_536)}
    assert len(numbers) == 65_536
    assert Questions(V4, FIRST, b"other").keys != questions.keys


def message(
    questions: Questions, version: int, code: int, *, port: int = 80, attempt: int = 2, sequence: int = 0
) -> bytes:
    segment = bytearray(questions.syn(0, port, attempt))
    segment[4:8] = struct.pack("!I", (struct.unpack_from("!I", segment, 4)[0] + sequence) & 0xFFFFFFFF)
    source, target = (ipaddress.ip_address(text).packed for text in (V4 if version == 4 else V6)[0])
    if version == 4:
        packet = struct.pack("!BBHHHBBH", 0x45, 0, 44, 0, 0, 64, PROTO_TCP, 0) + source + target + segment[:8]
    else:
        packet = struct.pack("!IHBB", 6 << 28, 24, PROTO_TCP, 64) + source + target + segment
    return struct.pack("!BBHI", 3 if version == 4 else 1, code, 0, 0) + packet


@pytest.mark.parametrize(
    ("version", "code", "told"),
    [
        (4, 1, True),
        (4, 3, True),
        (4, 13, True),
        (4, 4, False),
        (4, 99, False),
        (6, 1, True),
        (6, 4, True),
        (6, 2, False),
    ],
)
def test_unreachable_messages_say_filtered(version: int, code: int, told: bool) -> None:
    questions = Questions(V4 if version == 4 else V6, FIRST, SECRET)
    found = questions.unreachable(message(questions, version, code), version, 60)
    kind = 3 if version == 4 else 1
    assert found == ((0, 80, 2, PortState.FILTERED, f"icmp {kind}/{code}", 60) if told else None)


@pytest.mark.parametrize("version", [4, 6])
def test_a_made_up_message_is_not_believed(version: int) -> None:
    questions = Questions(V4 if version == 4 else V6, FIRST, SECRET)
    assert questions.unreachable(message(questions, version, 3, sequence=1), version, 60) is None
    assert questions.unreachable(message(questions, version, 3, attempt=11), version, 60) is None


@given(st.binary(max_size=120), st.sampled_from([4, 6]), st.integers(0, 120))
def test_any_message_is_taken_or_left(data: bytes, version: int, cut: int) -> None:
    questions = Questions(V4 if version == 4 else V6, FIRST, SECRET)
    assert questions.unreachable(data, version, 1) is None
    whole = message(questions, version, 3)
    for bent in (whole[:cut], whole[:cut] + data, data + whole):
        questions.unreachable(bent, version, 1)
