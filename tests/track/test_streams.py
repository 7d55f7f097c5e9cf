"""Streams: what parsers say does not depend on how bytes came, nor on batches and workers; memory is bounded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.run.reading import read
from nsm.track import streams as engine
from tests.kernels.frames import ACK, FIN, PSH, SYN, Timed, framed, pcap, tcp_ip, udp_ip

CLIENT, SERVER = "192.168.1.9", "198.51.100.7"
ASK = b"GET /a HTTP/1.1\r\nHost: www.example.org\r\n\r\n"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 40\r\n\r\n"
    + b"hello, world. hello, world. hello, you.\r\n"
)
QUESTION = bytes.fromhex("00070100000100000000000003777777076578616d706c65036f72670000010001")
SMALL: dict[str, Any] = {"flow": {"records_max": 64, "targets_max": 64}}  # tables of a moment
Event = dict[str, Any]


def segments(data: bytes, cuts: Iterable[int]) -> list[tuple[int, bytes]]:
    """(offset, bytes) of a stream cut there."""
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    return [(start, data[start:stop]) for start, stop in itertools.pairwise(places)]


def conversation(
    asked: list[tuple[int, bytes]], answered: list[tuple[int, bytes]], port: int = 40_000, acks: bool = True
) -> list[Timed]:
    """A connection with these segments of each side."""
    packets = [
        tcp_ip(CLIENT, SERVER, port, 80, SYN, seq=999), tcp_ip(SERVER, CLIENT, 80, port, SYN | ACK, seq=4_999, ack=1_000),
        tcp_ip(CLIENT, SERVER, port, 80, ACK, seq=1_000, ack=5_000),
    ]  # fmt: skip
    packets += [tcp_ip(CLIENT, SERVER, port, 80, PSH | ACK, data, seq=1_000 + at, ack=5_000) for at, data in asked]
    sent = max((at + len(data) for at, data in asked), default=0)
    packets += [
        tcp_ip(SERVER, CLIENT, 80, port, PSH | ACK, data, seq=5_000 + at, ack=1_000 + sent) for at, data in answered
    ]
    end = max((at + len(data) for at, data in answered), default=0)
    if acks:
        packets.append(tcp_ip(CLIENT, SERVER, port, 80, ACK, seq=1_000 + sent, ack=5_000 + end))
        packets.append(tcp_ip(CLIENT, SERVER, port, 80, FIN | ACK, seq=1_000 + sent, ack=5_000 + end))
    return [(number * 0.01, framed(packet)) for number, packet in enumerate(packets)]


def events(path: Path, packets: list[Timed], **given_settings: Any) -> list[Event]:
    path.write_bytes(pcap(packets))
    return list(read(path, settings=given_settings))


def objects(found: Iterable[Event], *kinds: str) -> list[Any]:
    return [event[kind] for event in found for kind in kinds if event["event_type"] == kind]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "talk.pcap"


@given(st.lists(st.integers(1, 500), max_size=6), st.lists(st.integers(1, 500), max_size=6), st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_cut_out_of_order_and_repeated_the_same_is_said(
    file: Path, ask: list[int], answer: list[int], data: st.DataObject
) -> None:
    expected = objects(events(file, conversation([(0, ASK)], [(0, ANSWER)]), **SMALL), "fileinfo", "http")
    assert (expected[0]["size"], expected[1]["status"]) == (40, 200)
    asked = data.draw(st.permutations(segments(ASK, ask)))
    answered = data.draw(st.permutations(segments(ANSWER, answer)))
    answered += data.draw(st.lists(st.sampled_from(answered), max_size=2))
    assert objects(events(file, conversation(asked, answered), **SMALL), "fileinfo", "http") == expected


def many() -> list[Timed]:
    """Connections and questions over each other, each cut in another way."""
    packets: list[Timed] = []
    for number in range(40):
        talk = conversation(
            segments(ASK, [number]), segments(ANSWER, [number, 3 * number])[:: -1 if number % 3 else 1], 40_000 + number
        )
        packets += [(ts + number * 0.033, frame) for ts, frame in talk]
        packets.append((number * 0.05, framed(udp_ip(CLIENT, SERVER, 50_000 + number, 53, QUESTION))))
    return sorted(packets, key=lambda item: item[0])


def test_batches_and_workers_change_nothing(file: Path) -> None:
    expected = [json.dumps(event) for event in events(file, many())]
    assert sum('"event_type": "http"' in line for line in expected) == 40
    assert sum('"event_type": "dns"' in line for line in expected) == 40
    for changed in ({"batch_packets": 1}, {"batch_packets": 7}, {"workers": 2}):
        assert [json.dumps(event) for event in read(file, settings=changed)] == expected


def test_lost_bytes_that_were_acknowledged_leave_a_gap_in_the_file(file: Path) -> None:
    head = len(ANSWER) - 41
    pieces = [(0, ANSWER[:head]), (head, ANSWER[head : head + 10]), (head + 20, ANSWER[head + 20 :])]
    (info,) = objects(events(file, conversation([(0, ASK)], pieces)), "fileinfo")
    assert info["gaps"] is True
    assert "sha256" not in info


def test_one_side_alone_is_read_as_far_as_it_goes(file: Path) -> None:
    packets = conversation([(0, ASK)], [], acks=False)
    (page,) = objects(events(file, [packets[0], *packets[2:]]), "http")
    assert page["hostname"] == "www.example.org"


def test_a_flow_without_its_beginning_is_read_unless_the_profile_says_no(file: Path) -> None:
    packets = conversation([(0, ASK)], [(0, ANSWER)])[3:]
    assert len(objects(events(file, packets), "http")) == 1
    assert objects(events(file, packets, profile="suricata"), "http") == []


def test_with_that_engines_profile_bytes_are_read_at_their_acknowledgement(file: Path) -> None:
    packets = conversation([(0, ASK)], [(0, ANSWER)])
    at_once = [e["pcap_cnt"] for e in events(file, packets) if e["event_type"] == "http"]
    later = [e["pcap_cnt"] for e in events(file, packets, profile="suricata") if e["event_type"] == "http"]
    assert (at_once, later) == ([5], [6])


def test_fragments_are_read_as_the_datagram_they_are(file: Path) -> None:
    whole = udp_ip(CLIENT, SERVER, 50_000, 53, QUESTION)
    body = whole[20:]

    def part(at: int, stop: int) -> bytes:
        more = 0x2000 if stop < len(body) else 0
        head = bytearray(whole[:20])
        head[2:4] = (20 + stop - at).to_bytes(2, "big")
        head[6:8] = (more | at // 8).to_bytes(2, "big")
        return framed(bytes(head) + body[at:stop])

    found = events(file, [(0.0, part(24, len(body))), (0.1, part(0, 24))])
    (dns,) = objects(found, "dns")
    assert dns["queries"][0]["rrname"] == "www.example.org"
    (flow,) = [event for event in found if event["event_type"] == "flow"]
    assert (flow["src_port"], flow["dest_port"], flow["app_proto"]) == (50_000, 53, "dns")


def test_switched_off_nothing_is_read(file: Path) -> None:
    found = events(file, many(), stream={"enabled": False})
    assert {event["event_type"] for event in found} <= {"flow", "alert", "anomaly", "stats"}


class Clumsy:
    """A parser with a mistake of its own."""

    def __init__(self, conv: Conversation) -> None:
        pass

    def feed(self, side: Side, data: bytes) -> int:
        raise ZeroDivisionError

    def gap(self, side: Side, size: int) -> bool:
        return False

    def finish(self) -> None:
        raise KeyError("finish")


def test_a_parsers_own_mistake_costs_its_flow_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clumsy = ProtocolSpec(
        name="clumsy",
        transports=("tcp",),
        ports=(80,),
        probe=lambda data, side, port: Match.YES,
        parser=Clumsy,
        weight=99,
    )
    made = []

    class Watched(engine.Streams):
        def __init__(self, first: Any, options: Any, found: Any, *rest: Any) -> None:
            super().__init__(first, options, {**found, "clumsy": clumsy}, *rest)
            made.append(self)

    monkeypatch.setattr("nsm.track.worker.Streams", Watched)
    found = events(file, many())
    assert len(objects(found, "dns")) == 40
    assert objects(found, "http") == []
    assert made[0].faults >= 40


def test_too_many_open_conversations_give_the_oldest_up(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Watched(engine.Streams):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr("nsm.track.worker.Streams", Watched)
    room = (8 << 20) // engine.TALK_BYTES
    packets: list[Timed] = []
    for number in range(room + 500):
        source = f"10.{number // 60_000}.{number // 250 % 240}.{number % 250 + 1}"
        packets.append((number * 1e-4, framed(tcp_ip(source, SERVER, 40_000, 80, PSH | ACK, ASK[:30], seq=7))))
    found = events(file, packets, stream={"memory_mb": 8})
    assert made[0].given_up >= 500
    assert (
        len([event for event in found if event["event_type"] == "flow" and event.get("app_proto") == "http"])
        == room + 500
    )


def test_what_is_left_unread_counts_and_is_forgotten_with_its_flow(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Watched(engine.Streams):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.most = 0
            made.append(self)

        def kept(self, size: int) -> None:
            super().kept(size)
            self.most = max(self.most, self._buffered)

    monkeypatch.setattr("nsm.track.worker.Streams", Watched)
    half = b"GET /" + b"a" * 900  # no end of the line in sight
    packets = [
        (n * 0.001, framed(tcp_ip(CLIENT, SERVER, 40_000 + n, 80, PSH | ACK, half, seq=7))) for n in range(50)
    ]  # fmt: skip
    events(file, packets, **SMALL)
    assert made[0].most >= 40 * len(half)
    assert made[0]._buffered == 0
