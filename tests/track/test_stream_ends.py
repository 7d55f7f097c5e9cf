"""How conversations end and what their sides are, by captures written by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import nsm
from nsm.track.streams import _whole_text
from tests.kernels.frames import framed, icmp, tcp_ip

CLIENT, SERVER = ("10.0.0.1", 40_000), ("10.0.0.2", 80)
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"
Step = tuple[int, int, bytes]  # who (0 client), flags, payload


class Speech:
    """Frames of one connection; numbers go on by what was sent, acknowledgements cover all that was sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._next = [1_000, 5_000]

    def say(self, who: int, flags: int, payload: bytes = b"", ack: int | None = None) -> None:
        """One segment; ``ack`` in place of everything."""
        (src, sport), (dst, dport) = (CLIENT, SERVER) if who == 0 else (SERVER, CLIENT)
        number = self._next[1 - who] if ack is None else ack
        self.frames.append(
            framed(
                tcp_ip(src, dst, sport, dport, flags, payload, seq=self._next[who], ack=number if flags & ACK else 0)
            )
        )
        self._next[who] += len(payload) + bool(flags & (SYN | FIN))


def spoken(steps: Sequence[Step]) -> Speech:
    """A connection that is opened, and what follows."""
    speech = Speech()
    for who, flags, payload in [(0, SYN, b""), (1, SYN | ACK, b""), (0, ACK, b""), *steps]:
        speech.say(who, flags, payload)
    return speech


def events(path: Path, speech: Speech, **settings: Any) -> list[dict[str, Any]]:
    """The events of it in the reference engine's profile."""
    lines = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)]
    for number, data in enumerate(speech.frames):
        lines.append(struct.pack("<IIII", 1_700_000_000, number, len(data), len(data)) + data)
    path.write_bytes(b"".join(lines))
    return list(nsm.read(path, settings={"profile": "suricata", "checksum_validation": False, **settings}))


def only(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The one event of that type."""
    (event,) = [event for event in found if event["event_type"] == kind]
    return event


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        ("a\ud800b", "a?b"), ({"k\udfff": ["x", ("\ud800",)]}, {"k?": ["x", ["?"]]}),
        ([1, None, {"a": "plain"}], [1, None, {"a": "plain"}]),
    ],
)  # fmt: skip
def test_halves_of_pairs_become_question_marks(value: Any, whole: Any) -> None:
    assert _whole_text(value) == whole


def test_the_last_acknowledgement_of_an_end_closes_the_conversation(tmp_path: Path) -> None:
    speech = spoken([(0, PSH | ACK, GET), (1, ACK, b""), (0, FIN | ACK, b""), (1, FIN | ACK, b""), (0, ACK, b"")])
    found = events(tmp_path / "a.pcap", speech)
    assert only(found, "http")["pcap_cnt"] == 8
    assert only(found, "flow")["flow"]["state"] == "closed"


def test_what_a_reset_does_not_acknowledge_was_not_received(tmp_path: Path) -> None:
    speech = spoken([(0, PSH | ACK, GET), (1, PSH | ACK, OK + b"1234")])
    speech.say(1, PSH | ACK, b"5678")
    speech.say(0, RST | ACK, ack=5_001 + len(OK) + 4)
    found = events(tmp_path / "a.pcap", speech)
    assert only(found, "http")["http"]["length"] == 4
    assert only(found, "http")["pcap_cnt"] == 7
    assert only(found, "fileinfo")["fileinfo"]["state"] == "TRUNCATED"


def test_lost_bytes_count_in_a_file_that_is_then_cut(tmp_path: Path) -> None:
    speech = spoken([(0, PSH | ACK, GET), (1, PSH | ACK, OK + b"12"), (0, ACK, b"")])
    speech.say(1, ACK, b"34")
    del speech.frames[-1]
    speech.say(0, ACK)
    speech.say(1, PSH | ACK, b"5678")
    speech.say(0, ACK)
    info = only(events(tmp_path / "a.pcap", speech), "fileinfo")["fileinfo"]
    assert (info["state"], info["size"], info["gaps"]) == ("TRUNCATED", 8, True)


def test_sides_that_speak_different_protocols_are_told(tmp_path: Path) -> None:
    steps = [(0, PSH | ACK, GET), (1, PSH | ACK, b"SSH-2.0-x\r\n"), (0, ACK, b"")]
    found = events(tmp_path / "a.pcap", spoken(steps))
    assert (only(found, "flow")["app_proto"], only(found, "flow")["app_proto_tc"]) == ("http", "ssh")
    names = [event["anomaly"]["event"] for event in found if event["event_type"] == "anomaly"]
    assert "APPLAYER_MISMATCH_PROTOCOL_BOTH_DIRECTIONS" in names


def test_records_tell_hardware_addresses_when_asked(tmp_path: Path) -> None:
    steps = [(0, PSH | ACK, GET), (1, PSH | ACK, OK + b"12345678"), (0, ACK, b"")]
    found = events(tmp_path / "a.pcap", spoken(steps), ethernet=True)
    assert set(only(found, "http")["ether"]) == {"src_mac", "dest_mac"}
    assert "ether" not in only(events(tmp_path / "a.pcap", spoken(steps)), "http")


def test_icmp_messages_that_no_standard_has_are_told(tmp_path: Path) -> None:
    speech = Speech()
    speech.frames = [icmp(CLIENT[0], SERVER[0], *what) for what in ((8, 0), (8, 5), (3, 15), (3, 16), (42, 0))]
    found = events(tmp_path / "a.pcap", speech, log={"anomaly": {"types": {"decode": True}}})
    names = [event["anomaly"]["event"].rpartition(".")[2] for event in found]
    assert names == ["unknown_code", "unknown_code", "unknown_type"]
