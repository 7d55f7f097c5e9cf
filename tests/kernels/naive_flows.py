"""A slow, obvious twin of the flow table: a dictionary, and what DESIGN and the columns of FLOW say of each field.

Rows come from the naive decoder. It holds no wheel: a flow is over when its next packet comes too late, or the capture ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nsm.model.flow import Outcome, TcpState
from nsm.track.settings import SERVER_PORTS_TCP, SERVER_PORTS_UDP
from tests.kernels.frames import ACK, FIN, RST, SYN
from tests.kernels.naive import Row

S = TcpState
LONG_PORTS = {21, 22, 23, 513}
NS = 10**9


@dataclass
class Side:
    """What one side sent."""

    pkts: int = 0
    bytes: int = 0
    payload: int = 0
    flags: int = 0
    ttl_min: int = 255
    ttl_max: int = 0
    expected: int = 0  # the next sequence number


@dataclass
class Flow:
    """One conversation; ``src`` is who began it."""

    src: tuple[bytes, int]
    dst: tuple[bytes, int]
    proto: int
    depth: int
    first: int
    last: int
    flags_first: int
    state: TcpState = S.NONE
    server: Side = field(default_factory=Side)  # what went to the server
    client: Side = field(default_factory=Side)
    syn_ack_us: int = 0
    ack_us: int = 0
    retrans: int = 0
    refused: bool = False
    reused: bool = False

    @property
    def outcome(self) -> Outcome:
        if self.client.pkts:
            rst_alone = self.proto == 6 and self.client.flags & RST and not self.client.flags & SYN
            return Outcome.REFUSED if rst_alone and not self.client.payload else Outcome.ANSWERED
        return Outcome.REFUSED if self.refused else Outcome.UNANSWERED

    @property
    def timeout_s(self) -> int:
        answered = bool(self.client.pkts)
        if self.proto != 6:
            return 60 if answered else 30
        if self.state in (S.CLOSED, S.TIME_WAIT, S.LAST_ACK):
            return 5
        if not answered:
            return 30
        return 3_600 if {self.src[1], self.dst[1]} & LONG_PORTS else 300


def turned(row: Row) -> bool:
    """Did the server send the first packet?"""
    if row.proto == 6 and row.flags & SYN:
        return bool(row.flags & ACK)
    ports = {6: SERVER_PORTS_TCP, 17: SERVER_PORTS_UDP}.get(row.proto, ())
    return row.sport in ports and row.dport not in ports


def begun(row: Row, ts: int) -> Flow:
    ends = [(row.src, row.sport), (row.dst, row.dport)]
    if turned(row):
        ends.reverse()
    state = S.NONE
    if row.proto == 6 and row.flags & (SYN | ACK | RST) != SYN:  # the capture begins in the middle
        if not row.flags & (SYN | RST):
            state = S.ESTABLISHED
        elif row.flags & SYN:
            state = S.SYN_SENT
    return Flow(ends[0], ends[1], row.proto, row.depth, ts, ts, row.flags, state)


def after(state: TcpState, flags: int, by_server: bool) -> TcpState:
    """RFC 9293, figure 5, as an observer between the two sees it."""
    if flags & RST:
        return S.CLOSED
    if flags & SYN and flags & ACK:
        return S.SYN_RECV if by_server and state in (S.NONE, S.SYN_SENT) else state
    if flags & SYN:
        return S.SYN_SENT if state == S.NONE else state
    if flags & FIN:
        if state in (S.ESTABLISHED, S.SYN_RECV):
            return S.FIN_WAIT1 if by_server else S.CLOSE_WAIT
        closing = {
            (S.CLOSE_WAIT, True): S.LAST_ACK,
            (S.FIN_WAIT1, False): S.TIME_WAIT,
            (S.FIN_WAIT2, False): S.TIME_WAIT,
        }
        return closing.get((state, by_server), state)
    if flags & ACK:
        return {
            (S.SYN_RECV, False): S.ESTABLISHED, (S.FIN_WAIT1, False): S.FIN_WAIT2, (S.LAST_ACK, False): S.CLOSED,
            (S.TIME_WAIT, True): S.CLOSED,
        }.get((state, by_server), state)  # fmt: skip
    return state


def counted(flow: Flow, row: Row, ts: int, wire: int) -> None:
    """Take a packet into a flow."""
    by_server = (row.src, row.sport) == flow.dst and flow.src != flow.dst
    side = flow.client if by_server else flow.server
    side.pkts += 1
    side.bytes += row.iplen if row.depth else wire
    side.payload += row.plen
    side.ttl_min, side.ttl_max = min(side.ttl_min, row.ttl), max(side.ttl_max, row.ttl)
    flow.last = max(flow.last, ts)
    if flow.proto != 6:
        return
    side.flags |= row.flags
    state = after(flow.state, row.flags, by_server)
    elapsed = (ts - flow.first) // 1_000
    if state == S.SYN_RECV != flow.state:
        flow.syn_ack_us = elapsed
    if flow.state == S.SYN_RECV and state == S.ESTABLISHED:
        flow.ack_us = max(elapsed - flow.syn_ack_us, 0)
    flow.state = state
    length = row.plen + bool(row.flags & (SYN | FIN))
    if length:
        end = (row.seq + length) % 2**32
        ahead = (end - side.expected) % 2**32
        if side.expected and (ahead == 0 or ahead >= 2**31):  # nothing beyond what was sent already
            flow.retrans += 1
        else:
            side.expected = end


def track(rows: list[tuple[int, int, Row]]) -> list[Flow]:
    """The flows of (time, wire length, row), in the order in which they ended."""
    live: dict[object, Flow] = {}
    over: list[Flow] = []
    for ts, wire, row in rows:
        key = (frozenset({(row.src, row.sport), (row.dst, row.dport)}), row.proto, row.version, row.vlan, row.depth)
        flow = live.get(key)
        if row.kind == "notice":
            # What is over is put away in the second after it was due.
            if flow is not None and not flow.client.pkts and ts // NS <= (flow.last + flow.timeout_s * NS) // NS:
                flow.refused = True
            continue
        if row.kind not in ("flow", "outer"):
            continue
        if flow is not None:
            closed = flow.proto == 6 and flow.timeout_s == 5
            reused = closed and row.flags & (SYN | ACK) == SYN
            if ts - flow.last > flow.timeout_s * NS or reused:
                flow.reused = ts - flow.last <= flow.timeout_s * NS
                over.append(flow)
                flow = None
        if flow is None:
            flow = live[key] = begun(row, ts)
        counted(flow, row, ts, wire)
    return over + list(live.values())
