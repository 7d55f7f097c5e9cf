"""A slow, obvious way from a capture to parsers: dpkt for headers, dictionaries for flows, segments sorted when they come.

Only what ordinary captures need: Ethernet, raw IP, Linux cooked, IPv4 and IPv6 without fragments or tunnels. Used by parser tests
that read captures and as the twin of the engine's streams.  Run: python -m tests.parse.naive_engine CAPTURE [PROTOCOL]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dpkt

from nsm.model.discovery import specs
from nsm.model.protocol import Match, ProtocolSpec, Side
from tests.parse.drive import Talk, Told

Segment = tuple[int, str, bytes, int, bytes, int, int, int, bytes]


def packets(path: Path) -> Iterator[tuple[int, Any]]:
    """(time in us, IP packet) of a pcap or pcapng file."""
    with path.open("rb") as file:
        reader: Any
        try:
            reader = dpkt.pcap.Reader(file)
        except ValueError:
            file.seek(0)
            reader = dpkt.pcapng.Reader(file)
        link = reader.datalink()
        for ts, frame in reader:
            try:
                if link == dpkt.pcap.DLT_EN10MB:
                    packet = dpkt.ethernet.Ethernet(frame).data
                elif link == dpkt.pcap.DLT_LINUX_SLL:
                    packet = dpkt.sll.SLL(frame).data
                elif link in (dpkt.pcap.DLT_NULL, dpkt.pcap.DLT_LOOP):
                    packet = (dpkt.ip.IP if frame[4] >> 4 == 4 else dpkt.ip6.IP6)(frame[4:])
                else:
                    packet = (dpkt.ip.IP if frame[0] >> 4 == 4 else dpkt.ip6.IP6)(frame)
            except (dpkt.dpkt.Error, IndexError):
                continue
            if isinstance(packet, dpkt.ip.IP | dpkt.ip6.IP6) and isinstance(packet.data, dpkt.tcp.TCP | dpkt.udp.UDP):
                yield int(ts * 1_000_000), packet


def recognised(found: dict[str, ProtocolSpec], transport: str, ports: set[int], data: bytes, side: Side) -> str:
    """The protocol of the first bytes of a side, "" when none takes them."""
    ranked = sorted(found.values(), key=lambda spec: (not ports & set(spec.ports), -spec.weight, spec.name))
    for spec in ranked:
        if transport in spec.transports and spec.probe(data, side, bool(ports & set(spec.ports))) is Match.YES:
            return spec.name
    return ""


class NaiveFlow:
    """One conversation."""

    def __init__(self, transport: str, client: str, client_port: int, server: str, server_port: int) -> None:
        self.told = Told(transport)
        self.told.client, self.told.client_port = client, client_port
        self.told.server, self.told.server_port = server, server_port
        self.talk: Talk | None = None
        self.name = ""
        self._next: list[int | None] = [None, None]
        self._held: list[dict[int, bytes]] = [{}, {}]
        self._waiting: list[tuple[Side, bytes]] = []

    def syn(self, side: Side, seq: int) -> None:
        self._next[side] = seq + 1 & 0xFFFFFFFF

    def segment(self, side: Side, seq: int, data: bytes, found: dict[str, ProtocolSpec]) -> None:
        expected = self._next[side]
        if expected is None:
            expected = self._next[side] = seq
        self._held[side].setdefault(seq, data)
        while expected is not None:
            ready = [at for at in self._held[side] if (expected - at) & 0xFFFFFFFF < 0x80000000]
            if not ready:
                break
            base = expected
            at = min(ready, key=lambda at: (at - base) & 0xFFFFFFFF)
            piece = self._held[side].pop(at)[(expected - at) & 0xFFFFFFFF :]
            expected = self._next[side] = expected + len(piece) & 0xFFFFFFFF
            if piece:
                self.deliver(side, piece, found)

    def deliver(self, side: Side, data: bytes, found: dict[str, ProtocolSpec]) -> None:
        if self.talk is None:
            self._waiting.append((side, data))
            first = b"".join(piece for sender, piece in self._waiting if sender == side)[:4096]
            ports = {self.told.client_port, self.told.server_port}
            self.name = recognised(found, self.told.transport, ports, first, side)
            if not self.name or found[self.name].parser is None:
                self._waiting = self._waiting[-16:]
                return
            self.talk = Talk(found[self.name], self.told)
            for sender, piece in self._waiting:
                self.talk.send(sender, piece)
            return
        self.talk.send(side, data)


def read(path: Path, only: str = "") -> list[NaiveFlow]:
    """All flows of a capture, parsed."""
    found = {name: spec for name, spec in specs("nsm.parse", "nsm.parsers").items() if not only or name == only}
    flows: dict[Any, NaiveFlow] = {}
    done: list[NaiveFlow] = []
    for ts_us, packet in packets(path):
        layer = packet.data
        transport = "tcp" if isinstance(layer, dpkt.tcp.TCP) else "udp"
        one, two = (packet.src, layer.sport), (packet.dst, layer.dport)
        key = (transport, *sorted((one, two)))
        flags = layer.flags if transport == "tcp" else 0
        if key in flows and flags & 0x12 == 0x02:
            done.append(flows.pop(key))
        if key not in flows:
            turned = flags & 0x12 == 0x12
            (src, sport), (dst, dport) = (two, one) if turned else (one, two)
            flow = NaiveFlow(transport, dpkt.utils.inet_to_str(src), sport, dpkt.utils.inet_to_str(dst), dport)
            flow.told.note = (src, sport)
            flows[key] = flow
        flow = flows[key]
        flow.told.ts_us = ts_us
        side = Side.CLIENT if flow.told.note == one else Side.SERVER
        if transport == "udp":
            flow.deliver(side, bytes(layer.data), found)
            continue
        if flags & 0x02:
            flow.syn(side, layer.seq)
        if layer.data and not flags & 0x04:
            flow.segment(side, layer.seq + (1 if flags & 2 else 0), bytes(layer.data), found)
    for flow in [*done, *flows.values()]:
        if flow.talk is not None:
            flow.talk.finish()
    return [*done, *flows.values()]


if __name__ == "__main__":
    for flow in read(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""):
        told = flow.told
        print(told.transport, told.client, told.client_port, told.server, told.server_port, flow.name or "?")  # noqa: T201
        for line in (*told.events, *told.zeek, *(f"anomaly {name}" for name in told.anomalies)):
            print("   ", line)  # noqa: T201
