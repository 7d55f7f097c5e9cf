"""A slow, obvious twin of what Zeek says of a connection, written from the table of ``history`` and of ``conn_state``.

https://docs.zeek.org/en/master/scripts/base/protocols/conn/main.zeek.html. Where that page is silent (what one packet's
letters are in order, which numbers are believed), it does as the kernel. Sequence numbers are counted from a side's first
one and never wrap; which bytes were seen is a list of pieces.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from tests.kernels.frames import ACK, FIN, RST, SYN
from tests.kernels.naive import Row
from tests.kernels.naive_flows import NS, Flow, begun, counted, turned

LETTERS_MAX = 32
NEAR = 2**20  # a SYN or RST farther away is of another connection, or forged
ACK_NEAR = 2**30
ATTEMPT_S = 5
SUMS = {"decoder.ipv4.csum_invalid", "decoder.l4.csum_invalid"}


class End(Enum):
    """The state of one end, in Zeek's words."""

    INACTIVE = 0
    SYN_SENT = 1
    SYN_ACK_SENT = 2
    PARTIAL = 3
    ESTABLISHED = 4
    CLOSED = 5
    RESET = 6


E = End


@dataclass
class Side:
    """What one side sent, and what the other acknowledged of it."""

    small: bool  # the responder's letters are small
    state: End = E.INACTIVE
    closed: bool = False
    said: set[str] = field(default_factory=set)
    numbers: dict[int, int] = field(default_factory=dict)  # flag -> number of the last packet with it
    times: Counter[str] = field(default_factory=Counter)
    zero: int = 0  # the number of its SYN; what follows is counted from there
    sent: int = 0  # one behind the last
    acked: int = 0
    seen: list[tuple[int, int]] = field(default_factory=list)
    fin: bool = False
    missed: int = 0
    ip_bytes: int = 0

    def place(self, number: int) -> int:
        """A sequence number, counted from zero: the one of all its turns that is next to what was sent."""
        turn = 2**32
        return self.sent + (number - self.zero - self.sent + turn // 2) % turn - turn // 2

    def begin(self, zero: int, sent: int) -> None:
        self.zero, self.sent, self.acked, self.seen = zero % 2**32, sent, 0, [(0, sent)]

    def holes(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What of start..stop was not seen."""
        found, at = [], start
        for first, behind in sorted(self.seen):
            if first > at:
                found.append((at, min(first, stop)))
            at = max(at, behind)
            if at >= stop:
                break
        if at < stop:
            found.append((at, stop))
        return [(first, behind) for first, behind in found if first < behind]

    @property
    def size(self) -> int:
        """Payload by the numbers: neither SYN nor FIN is a byte."""
        if self.state is E.INACTIVE:
            return 0
        return max(max(self.sent, self.acked) - 1 - self.fin, 0)


@dataclass
class Connection:
    """One line of conn.log."""

    flow: Flow
    text: str = ""
    last: int = 0
    orig: Side = field(default_factory=lambda: Side(False))
    resp: Side = field(default_factory=lambda: Side(True))
    doubts: set[str] = field(default_factory=set)  # which of the kernel's known faults this connection meets

    @property
    def history(self) -> str:
        return self.text[:LETTERS_MAX]

    def say(self, side: Side, letter: str) -> None:
        self.text += letter.lower() if side.small else letter

    def once(self, side: Side, letter: str) -> None:
        if letter not in side.said:
            side.said.add(letter)
            self.say(side, letter)

    def numbered(self, side: Side, letter: str, flag: int, number: int) -> None:
        """Again when the number is not that of the last packet with this flag."""
        if letter not in side.said or side.numbers[flag] != number:
            self.say(side, letter)
        side.said.add(letter)
        side.numbers[flag] = number

    def now_and_then(self, side: Side, letter: str) -> None:
        """At the first, the tenth, the hundredth time and so on."""
        side.times[letter] += 1
        if side.times[letter] in (1, 10, 100, 1_000, 10_000):
            self.say(side, letter)

    def datagram(self, side: Side, row: Row, ts: int) -> None:
        if row.proto == 17:
            self.once(side, "D")
        self.last = max(self.last, ts)

    def segment(self, side: Side, row: Row, ts: int) -> None:
        peer = self.resp if side is self.orig else self.orig
        syn, fin, rst, ack = (bool(row.flags & flag) for flag in (SYN, FIN, RST, ACK))
        over = side.closed and peer.closed
        if syn and (fin or rst):
            self.once(side, "Q")
        elif fin and rst:
            self.once(side, "I")
        elif syn:
            self.numbered(side, "H" if ack else "S", SYN, row.seq)
        repeated = self.send(side, row)
        if ack:
            self.acknowledge(side, peer, row)
        if row.plen and repeated:
            self.now_and_then(side, "T")
        elif row.plen and not syn:
            self.once(side, "D")
        elif ack and not (syn or fin or rst):
            self.once(side, "A")
        if fin and not (syn or rst):
            self.numbered(side, "F", FIN, (row.seq + row.plen) % 2**32)
        if rst and not (syn or fin):
            self.numbered(side, "R", RST, row.seq)
        if row.window == 0 and not (syn or rst):  # before and after a connection nobody waits for room
            self.now_and_then(side, "W")
        self.step(side, peer, row.flags)
        # What follows the two ends counts only when it brings payload.
        if not over or (row.plen and not repeated):
            self.last = max(self.last, ts)

    def send(self, side: Side, row: Row) -> bool:
        """Follow the numbers of a side; True when its payload was there before."""
        syn, fin, rst = (bool(row.flags & flag) for flag in (SYN, FIN, RST))
        length = row.plen + syn + fin
        side.fin |= fin
        if fin and (syn or rst):
            self.doubts.add("size")
        if side.state is E.INACTIVE or (syn and side.zero != row.seq):
            if side.holes(0, side.sent):
                self.doubts.add("gaps")
            if syn:
                side.begin(row.seq, length)
            else:  # its SYN was not seen
                side.begin(row.seq - 1, 1 + (length if row.plen else 0))
            return False
        start = side.place(row.seq)
        end = side.place(row.seq + length)
        if side.state is E.RESET or ((syn or rst) and abs(end - side.sent) > NEAR):
            return False
        holes = side.holes(0, side.sent)
        if end > side.sent:
            if (start > side.sent and (syn or not row.plen)) or (start < side.sent and holes):
                self.doubts.add("gaps")
            side.seen.append((start, end))
            side.sent = end
            return False
        if row.plen and holes and sum(b - a for a, b in side.holes(start, end)) != row.plen:
            self.doubts.add("gaps")
        if row.plen:
            side.seen.append((start, end))
        return bool(row.plen)

    def acknowledge(self, side: Side, peer: Side, row: Row) -> None:
        """What the peer sent by this, seen or not; bytes that nobody saw until now were missed."""
        if peer.state is E.INACTIVE:
            if not row.flags & (SYN | FIN | RST):
                peer.begin(row.ack - 1, 0)
            return
        turn = 2**32
        ahead = (row.ack - peer.zero - peer.acked) % turn
        if not 0 < ahead < turn // 2:
            return
        if row.flags & RST:  # anybody can send one, with any number in it
            if peer.acked + ahead > peer.sent:
                self.doubts.add("numbers")
            if peer.holes(0, peer.sent):
                self.doubts.add("gaps")
            return
        peer.acked += ahead
        beyond = peer.acked - peer.sent
        if 1 < beyond < ACK_NEAR:  # one alone may be a FIN
            peer.sent = peer.acked
        stop = min(peer.acked, peer.sent)
        if peer.holes(stop, peer.sent):
            self.doubts.add("gaps")
        missed = sum(b - a for a, b in peer.holes(0, stop))
        peer.seen.append((0, stop))
        if missed:
            peer.missed += missed
            self.now_and_then(peer, "G")

    @staticmethod
    def step(side: Side, peer: Side, flags: int) -> None:
        """The states after a segment of ``side``."""
        shake = flags & (SYN | ACK)
        if flags & RST:
            if not side.state is peer.state is E.CLOSED:
                side.state = E.RESET
        elif side.state is E.RESET:
            return
        elif flags & FIN and not flags & SYN:
            side.state = E.CLOSED
        elif side.state is E.INACTIVE:
            if shake == SYN | ACK:
                side.state = E.ESTABLISHED if peer.state is E.SYN_SENT else E.SYN_ACK_SENT
            elif flags & SYN:
                side.state = E.SYN_SENT
            else:
                side.state = E.ESTABLISHED if peer.state is E.SYN_ACK_SENT else E.PARTIAL
            if side.state is E.ESTABLISHED:
                peer.state = E.ESTABLISHED
        elif side.state is E.SYN_SENT and shake == SYN | ACK and peer.state is not E.INACTIVE:
            side.state = E.ESTABLISHED
            if peer.state is E.SYN_SENT:
                peer.state = E.ESTABLISHED
        side.closed |= side.state in (E.CLOSED, E.RESET)

    @property
    def state(self) -> str:
        """conn_state, the responder's reset before the originator's, and both before any FIN."""
        if self.flow.proto != 6:
            sent, got = bool(self.flow.server.pkts), bool(self.flow.client.pkts)
            both = {(True, True): "SF", (True, False): "S0", (False, True): "SHR", (False, False): "OTH"}
            return both[sent, got] if self.flow.proto == 17 else "OTH"
        orig, resp = self.orig.state, self.resp.state
        nobody = (E.INACTIVE, E.PARTIAL)
        if resp is E.RESET:
            nothing = self.orig.size == 0 and self.resp.size == 0
            if orig in (E.SYN_SENT, E.SYN_ACK_SENT) or (orig is E.RESET and nothing):
                return "REJ"
            return "RSTRH" if orig in nobody else "RSTR"
        if orig is E.RESET:
            begun_, _, _ = self.history.removeprefix("^").partition("R")
            half = begun_.startswith("S") and "R" in self.history and not set(begun_) & set("HAFGIQ")
            return "RSTO" if resp not in nobody else "RSTOS0" if half else "OTH"
        if orig is resp is E.CLOSED:
            return "SF"
        if orig is E.CLOSED:
            return "SH" if resp in nobody else "S2"
        if resp is E.CLOSED:
            return "SHR" if orig in nobody else "S3"
        return {(E.SYN_SENT, E.INACTIVE): "S0", (E.ESTABLISHED, E.ESTABLISHED): "S1"}.get((orig, resp), "OTH")


def connections(rows: list[tuple[int, int, Row, set[str]]]) -> list[Connection]:
    """The connections of (time, wire length, row, wrong sums), by the time of their first packet."""
    live: dict[object, Connection] = {}
    found: list[Connection] = []
    for ts, wire, row, wrong in rows:
        if "decoder.ipv4.csum_invalid" in wrong:
            continue
        key = (frozenset({(row.src, row.sport), (row.dst, row.dport)}), row.proto)
        known = live.get(key)
        if known is not None:
            flow = known.flow
            attempt = known.orig.state is E.SYN_SENT and known.resp.state is E.INACTIVE
            again = flow.proto == 6 and flow.timeout_s == 5 and row.flags & (SYN | ACK) == SYN
            if ts - flow.last > flow.timeout_s * NS or again or (attempt and ts - flow.first > ATTEMPT_S * NS):
                known = None
        if known is None:
            known = live[key] = Connection(begun(row, ts), "^" if turned(row) else "", ts)
            found.append(known)
        side = known.orig if (row.src, row.sport) == known.flow.src else known.resp
        if wrong:
            known.now_and_then(side, "C")
            continue
        side.ip_bytes += row.iplen
        counted(known.flow, row, ts, wire)
        if row.proto == 6:
            known.segment(side, row, ts)
        else:
            known.datagram(side, row, ts)
    return found
