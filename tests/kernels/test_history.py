"""What conn.log says of connections beside its twin: ordinary conversations, and what loss and malice make of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nsm.kernels.jit import COMPILED
from nsm.model.flow import Report
from nsm.output.zeek import CONN, _Connection, conn_lines
from nsm.track.rows import HISTORY
from nsm.track.settings import FlowSettings, TrackOptions, WorkerSettings
from nsm.track.worker import Worker
from tests.kernels import naive
from tests.kernels.feeding import batch_of
from tests.kernels.frames import ACK, FIN, PSH, RST, SYN, framed, tcp_ip, udp_ip
from tests.kernels.naive_history import SUMS, Connection, End, connections

CLIENT, SERVER = "10.0.0.1", "198.51.100.2"
FLAGS = (
    SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, FIN, RST, RST | ACK, 0, SYN | FIN, SYN | RST, FIN | RST, FIN | SYN | RST,
)  # fmt: skip
GAPS_MS = (0, 0, 1, 40, 900, 4_999, 5_001, 29_999, 30_001, 299_000, 301_000)
SHIFTS = (1, -1, 5, -5, 100, -100, 2**20 + 3, -(2**20) - 3, 2**30 + 9)
FLOW = FlowSettings(records_max=256, targets_max=256)
SETTINGS = WorkerSettings(flow=FLOW, options=TrackOptions(history=True), batch_packets=64, checksums=True)


@dataclass(frozen=True)
class Segment:
    """A packet of a conversation; numbers are counted from each side's own."""

    by_client: bool
    flags: int
    seq: int
    ack: int = 0
    size: int = 0
    window: int = 64_240
    spoiled: int | None = None  # the byte of the frame that is changed
    wait_ms: int = 1
    udp: bool = False
    port: int = 4_000

    def frame(self, first: tuple[int, int]) -> bytes:
        """``first``: the number of the client's SYN and of the server's."""
        (src, sport), (dst, dport) = (CLIENT, self.port), (SERVER, 80)
        mine, theirs = first
        if not self.by_client:
            (src, sport), (dst, dport), (mine, theirs) = (dst, dport), (src, sport), (theirs, mine)
        if self.udp:
            packet = udp_ip(src, dst, sport, dport, bytes(self.size))
        else:
            ack = theirs + self.ack if self.flags & ACK else 0
            packet = tcp_ip(
                src, dst, sport, dport, self.flags, bytes(self.size), mine + self.seq, ack, window=self.window
            )
        frame = bytearray(framed(packet))
        if self.spoiled is not None:
            frame[self.spoiled] ^= 1
        return bytes(frame)


def handshake() -> list[Segment]:
    return [Segment(True, SYN, 0), Segment(False, SYN | ACK, 0, 1), Segment(True, ACK, 1, 1)]


def data(client: bool, seq: int, size: int, ack: int = 1) -> Segment:
    return Segment(client, PSH | ACK, seq, ack, size)


def acked(by_client: bool, ack: int, seq: int = 1) -> Segment:
    return Segment(by_client, ACK, seq, ack)


ENDS = ("fin", "fin", "fin rst", "rst fin", "forged", "client", "server", "")


def conversation(sizes: list[tuple[bool, int]], patient: bool, end: str) -> list[Segment]:
    """Handshake, what each side says and the other acknowledges, at once or when it is its turn, and how it ends."""
    said = {True: 1, False: 1}
    out = handshake()
    for client, size in sizes:
        out.append(Segment(client, PSH | ACK, said[client], said[not client], size))
        said[client] += size
        if not patient:
            out.append(Segment(not client, ACK, said[not client], said[client]))
    if patient:
        out.append(Segment(False, ACK, said[False], said[True]))
    reset = Segment(end != "server", RST | ACK, said[end != "server"], said[end == "server"])
    if end == "forged":
        return [*out, dataclasses.replace(reset, seq=reset.seq + 2**20 + 9), data(True, said[True], 10, said[False])]
    fins = [
        Segment(True, FIN | ACK, said[True], said[False]),
        Segment(False, FIN | ACK, said[False], said[True] + 1),
        Segment(True, ACK, said[True] + 1, said[False] + 1),
    ]
    after = {"": [], "fin": fins, "fin rst": [*fins, reset], "rst fin": [reset, *fins]}
    return out + after.get(end, [reset])


def changed(draw: st.DrawFn, one: Segment) -> Segment:
    """A packet with one field wrong."""
    kind = draw(st.sampled_from(("flags", "seq", "ack", "size", "window", "spoiled", "wait_ms")))
    values: dict[str, tuple[int, ...]] = {
        "flags": FLAGS, "size": (0, 1, 50, 100, 101, 150), "window": (0,), "wait_ms": GAPS_MS,
        "spoiled": (-1, -1, 19),  # of the segment, or of the IP header
        "seq": tuple(one.seq + shift for shift in SHIFTS), "ack": tuple(one.ack + shift for shift in SHIFTS),
    }  # fmt: skip
    return dataclasses.replace(one, **{kind: draw(st.sampled_from(values[kind]))})  # type: ignore[arg-type]


def mutated(draw: st.DrawFn, packets: list[Segment]) -> list[Segment]:
    """One thing that goes wrong."""
    if not packets:
        return packets
    place = draw(st.integers(0, len(packets) - 1))
    again = draw(st.integers(place, len(packets)))
    times = draw(st.sampled_from((9, 10, 11)))
    one, before, after = packets[place], packets[:place], packets[place + 1 :]
    made = {
        "lose": before + after, "begin later": packets[place:], "stop": [*before, one], "many": [*before, *[one] * times, *after],
        "swap": [*before, *after[:1], one, *after[1:]], "repeat": [*packets[:again], one, *packets[again:]],
    }  # fmt: skip
    kind = draw(st.sampled_from(("lose", "lose", *made, "change", "change", "change", "change")))
    return made[kind] if kind in made else [*before, changed(draw, one), *after]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Segment], tuple[int, int]]:
    """Packets of a conversation or two, and the first numbers of both sides."""
    packets: list[Segment] = []
    for port in (4_000, 4_001)[: draw(st.integers(1, 2))]:
        turns = draw(st.lists(st.tuples(st.booleans(), st.sampled_from((1, 100, 100, 1_000))), max_size=5))
        kind = draw(st.sampled_from(("udp", "silent", "tcp", "tcp", "tcp", "tcp", "tcp", "tcp")))
        if kind == "udp":
            part = [Segment(client, 0, 0, size=size % 3, udp=True) for client, size in turns]
        elif kind == "silent":
            part = [Segment(True, SYN, 0, wait_ms=draw(st.sampled_from(GAPS_MS))) for _ in turns]
        else:
            part = conversation(turns, draw(st.booleans()), draw(st.sampled_from(ENDS)))
        for _ in range(draw(st.integers(0, 5))):
            part = mutated(draw, part)
        packets += [dataclasses.replace(one, port=port) for one in part]
    if draw(st.booleans()):
        packets.sort(key=lambda one: (one.seq + one.ack, one.port))
    return packets, (draw(st.sampled_from((1_000, 2**32 - 150))), draw(st.sampled_from((7, 2**32 - 1, 2**31))))


Item = tuple[int, bytes]


def timed(packets: list[Segment], first: tuple[int, int]) -> list[Item]:
    now, out = 1_700_000_000 * 10**9, []
    for one in packets:
        now += one.wait_ms * 1_000_000 + 1_000
        out.append((now, one.frame(first)))
    return out


def of_kernel(items: list[Item]) -> list[tuple[dict[str, str], _Connection]]:
    """(line of conn.log, what was kept of it) of every connection, by the time of its first packet."""
    with np.errstate(over="ignore"):
        worker = Worker(SETTINGS)
        for at in range(0, len(items), 64):
            part = items[at : at + 64]
            worker.feed(batch_of([frame for _, frame in part], times=[ts for ts, _ in part]))
        worker.finish()
        rows = worker.take().flows
    rows = rows.take(rows["report"] == Report.ENDED)
    fields = [dict(zip((name for name, _ in CONN), line[:-1].split("\t"), strict=True)) for line in conn_lines(rows)]
    words = rows[HISTORY] if len(rows) else ()
    found = [(line, _Connection(kept)) for line, kept in zip(fields, words, strict=True)]
    return sorted(found, key=lambda one: one[0]["ts"])


def of_twin(items: list[Item]) -> list[Connection]:
    rows = [
        (ts, len(frame), row, naive.checksums(frame, row) & SUMS)
        for ts, frame in items
        for row in naive.decode(frame, len(frame), 1)
    ]
    return connections(rows)


def line_of(one: Connection) -> dict[str, str]:
    """The fields of conn.log that come of the history."""
    us = one.last // 1_000 - one.flow.first // 1_000
    sizes = one.sizes
    if one.flow.proto != 6:
        sizes = one.flow.server.payload, one.flow.client.payload
    shown = [str(size) if us else "-" for size in sizes]
    return {
        "duration": f"{us // 10**6}.{us % 10**6:06d}" if us else "-", "orig_bytes": shown[0], "resp_bytes": shown[1],
        "conn_state": one.state, "missed_bytes": str(one.orig.missed + one.resp.missed), "history": one.history or "-",
        "orig_pkts": str(one.flow.server.pkts), "orig_ip_bytes": str(one.orig.ip_bytes),
        "resp_pkts": str(one.flow.client.pkts), "resp_ip_bytes": str(one.resp.ip_bytes),
    }  # fmt: skip


def agree(line: dict[str, str], kept: _Connection, one: Connection) -> None:
    assert [End(kept.state(side)) for side in (0, 1)] == [one.orig.state, one.resp.state]
    expected = line_of(one)
    assert {name: line[name] for name in expected} == expected


@given(conversations())
@settings(max_examples=1_200 if COMPILED else 250)
@example(([*handshake(), data(True, 101, 100), data(True, 1, 100), acked(False, 201)], (1_000, 7)))
@example(([*handshake(), Segment(True, FIN | ACK, 1, 1, 10), Segment(True, FIN | ACK, 11, 1)], (1_000, 7)))
def test_what_zeek_says_is_the_twins(made: tuple[list[Segment], tuple[int, int]]) -> None:
    items = timed(*made)
    found, expected = of_kernel(items), of_twin(items)
    assert [line["ts"] for line, _ in found] == [
        f"{one.flow.first // 10**9}.{one.flow.first // 1_000 % 10**6:06d}" for one in expected
    ]
    for (line, kept), one in zip(found, expected, strict=True):
        agree(line, kept, one)


PIECES = st.tuples(st.just("data"), st.integers(0, 8), st.integers(1, 4))  # in tens of bytes: four holes at most
ACKS = st.tuples(st.just("ack"), st.integers(1, 125), st.just(0))
BARE = st.tuples(st.sampled_from(("bare", "fin")), st.integers(0, 8), st.just(0))


@given(st.lists(st.one_of(PIECES, PIECES, ACKS, BARE), max_size=10), st.sampled_from((1_000, 2**32 - 50)))
@settings(max_examples=800 if COMPILED else 250)
def test_holes_are_opened_filled_and_missed_as_by_the_twin(steps: list[tuple[str, int, int]], first: int) -> None:
    packets = handshake()
    for kind, at, size in steps:
        made = {
            "data": data(True, 1 + 10 * at, 10 * min(size, 9 - at)), "ack": acked(False, at), "bare": acked(True, 1, 1 + 10 * at),
            "fin": Segment(True, FIN | ACK, 1 + 10 * at, 1),
        }  # fmt: skip
        packets.append(made[kind])
    items = timed(packets, (first, 7))
    ((line, kept), *_), (one, *_) = of_kernel(items), of_twin(items)
    agree(line, kept, one)


# Packets, a field, and what it has to be by Zeek's source.
KNOWN: dict[str, tuple[list[Segment], str, str]] = {
    "an acknowledgement that does not reach the hole": (
        [*handshake(), data(True, 1, 100), data(True, 201, 100), acked(False, 101), data(True, 101, 100), acked(False, 301)],
        "missed_bytes", "0",
    ),
    "old payload does not fill a hole": (
        [*handshake(), data(True, 1, 100), data(True, 201, 100), data(True, 1, 100), acked(False, 301)], "missed_bytes", "100",
    ),
    "a hole before a FIN": (
        [*handshake(), Segment(True, FIN | ACK, 101, 1), acked(False, 102)], "missed_bytes", "100",
    ),
    "a hole before an acknowledgement": (
        [*handshake(), acked(True, 1, seq=101), acked(False, 101)], "missed_bytes", "100",
    ),
    "a segment that fills a hole and goes on": (
        [*handshake(), data(True, 101, 100), data(True, 1, 300), acked(False, 301)], "missed_bytes", "0",
    ),
    "a hole of the numbers before another SYN": (
        [Segment(True, SYN, 0), data(True, 101, 100), Segment(True, SYN, 5_000), Segment(False, SYN | ACK, 0, 5_001),
         data(True, 5_001, 10), acked(False, 5_011)],
        "missed_bytes", "0",
    ),
    "an acknowledgement in a reset": (
        [*handshake(), data(True, 1, 10), Segment(False, RST | ACK, 1, 500_000)], "orig_bytes", "10",
    ),
    "five billion bytes": (
        [*handshake(), *(Segment(True, ACK, 1 + n * 10**9, 1, 1_000) for n in range(6))], "orig_bytes", "5000001000",
    ),
    "FIN and RST in one": (
        [*handshake(), data(True, 1, 10), Segment(True, FIN | RST, 11)], "orig_bytes", "10",
    ),
    "SYN and FIN in one": (
        [Segment(True, SYN | FIN, 0), Segment(False, RST | ACK, 0, 2)], "orig_bytes", "0",
    ),
    "a reset by the client in the middle": (
        [data(False, 1, 10), Segment(True, RST, 1)], "conn_state", "OTH",
    ),
    "a reset by the server in the middle": (
        [data(True, 1, 10), Segment(False, RST, 1)], "conn_state", "RSTRH",
    ),
    "a close by the client in the middle": (
        [data(False, 1, 10), Segment(True, FIN | ACK, 1, 11)], "conn_state", "SH",
    ),
    "a close by the server in the middle": (
        [data(True, 1, 10), Segment(False, FIN | ACK, 1, 11)], "conn_state", "SHR",
    ),
    "more holes than are remembered one by one": (
        [*handshake(), *(data(True, 101 + 200 * n, 100) for n in range(7)), data(True, 1, 100), acked(False, 1_301),
         acked(False, 1_401)],
        "missed_bytes", "600",
    ),
    "as many holes, filled": (
        [*handshake(), *(data(True, 101 + 200 * n, 100) for n in range(7)), *(data(True, 1 + 200 * n, 100) for n in range(7)),
         acked(False, 1_401)],
        "missed_bytes", "0",
    ),
    "a hole of a connection that begins in the middle": (
        [data(True, 1, 10), data(False, 1, 10, 11), data(True, 111, 10), acked(False, 121)], "missed_bytes", "0",
    ),
    "a reset between two ends": (
        [*handshake(), data(True, 1, 10), Segment(True, FIN | ACK, 11, 1), Segment(True, RST, 12),
         Segment(False, FIN | ACK, 1, 12)],
        "conn_state", "SF",
    ),
    "a reset after a FIN, and nothing was open": (
        [Segment(True, SYN, 0), Segment(False, FIN | ACK, 0, 1), Segment(False, RST, 1), Segment(True, FIN | ACK, 1, 1)],
        "conn_state", "RSTR",
    ),
    "a SYN that is only acknowledged": ([Segment(True, SYN, 0), acked(False, 1)], "conn_state", "S0"),
    "two SYN that cross": ([Segment(True, SYN, 0), Segment(False, SYN, 0)], "conn_state", "S1"),
    "payload in a FIN": ([*handshake(), Segment(True, FIN | ACK, 1, 1, 10)], "history", "ShAF"),
    "payload that is both new to the letters and old": (
        [*handshake(), Segment(True, FIN | ACK, 1, 1, 10), data(True, 1, 10)], "history", "ShAFDT",
    ),
    "no room in a SYN": ([Segment(True, SYN, 0, window=0)], "history", "SW"),
    "no room after the peer's FIN": (
        [*handshake(), Segment(True, FIN | ACK, 1, 1), Segment(False, ACK, 1, 2, window=0)], "history", "ShAFa",
    ),
    "a SYN after a reset that came first": (
        [Segment(True, SYN, 0), Segment(False, RST, 900_000), Segment(False, SYN | ACK, 0, 1, 20)], "resp_bytes", "20",
    ),
    "a FIN so far that it lies behind": (
        [*handshake(), Segment(True, FIN | ACK, 3_000_000_001, 1)], "orig_bytes", "3000000000",
    ),
    "payload before the first byte": (
        [*handshake(), data(True, 11, 10), data(True, -9, 20), acked(False, 21)], "missed_bytes", "10",
    ),
    "a half-open connection found": (
        [Segment(True, SYN, 0), acked(False, 70_000), Segment(True, RST, 70_000)], "orig_bytes", "0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_both_say_what_zeek_says(name: str) -> None:
    packets, column, value = KNOWN[name]
    items = timed(packets, (1_000, 7))
    (one,) = of_twin(items)
    ((line, kept),) = of_kernel(items)
    assert line_of(one)[column] == line[column] == value
    agree(line, kept, one)


def test_an_acknowledgement_of_number_zero_is_a_mistake() -> None:
    packets = [*handshake(), data(False, 1, 10), acked(True, 2**31 - 5), acked(True, 11)]
    items = timed(packets, (1_000, 2**31 + 5))
    ((line, kept),), (one,) = of_kernel(items), of_twin(items)
    assert line["resp_bytes"] == "10"
    agree(line, kept, one)
