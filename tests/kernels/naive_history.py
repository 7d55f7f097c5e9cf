"""A slow, obvious twin of what Zeek says of a connection, written from the table of ``history`` and of ``conn_state``.

https://docs.zeek.org/en/master/scripts/base/protocols/conn/main.zeek.html; where that page is silent (what one packet's
letters are in order, which numbers are believed), Zeek's TCPSessionAdapter.cc, TCP_Endpoint.cc and TCP_Reassembler.cc.
Sequence numbers are counted from a side's first one and never wrap; which bytes were seen is a list of pieces.
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
    before: End = E.INACTIVE  # the state before that
    closed: bool = False
    said: set[str] = field(default_factory=set)
    places: dict[str, int] = field(default_factory=dict)  # letter -> place of the last packet with it
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

    def go(self, state: End) -> None:
        if state is not self.state:
            self.before, self.state = self.state, state
        self.closed |= state in (E.CLOSED, E.RESET)

    @property
    def clean(self) -> bool:
        return E.ESTABLISHED is (self.before if self.state is E.CLOSED else self.state)

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

    def size(self, peer: Side) -> int:
        """Payload by the numbers: neither SYN nor FIN is a byte."""
        given_up = self.state is E.RESET and self.before is E.SYN_SENT and peer.state is E.INACTIVE and self.acked > 1
        if self.state is E.INACTIVE or given_up:
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

    @property
    def history(self) -> str:
        return self.text[:LETTERS_MAX]

    def say(self, side: Side, letter: str) -> None:
        self.text += letter.lower() if side.small else letter

    def once(self, side: Side, letter: str) -> None:
        if letter not in side.said:
            side.said.add(letter)
            self.say(side, letter)

    def numbered(self, side: Side, letter: str, kind: str, place: int) -> None:
        """Again when the place is not that of the last packet of this kind."""
        if side.places.get(kind) != place % 2**32:
            self.say(side, letter)
        side.places[kind] = place % 2**32

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
        syn, fin, rst = (bool(row.flags & flag) for flag in (SYN, FIN, RST))
        over = side.closed and peer.closed
        length = syn + fin + (0 if rst else row.plen)
        self.begin(side, row.seq, length, syn)
        end = side.place(row.seq + length)
        start = end - length
        self.flags(side, row, start)
        side.fin |= fin
        if row.window == 0 and not rst and E.CLOSED is not peer.state and side.state is not E.RESET:
            self.now_and_then(side, "W")
        repeated = self.send(side, row, start, end)
        if repeated:
            self.now_and_then(side, "T")
        self.step(side, peer, row)
        if row.flags & ACK and not rst and peer.state is not E.INACTIVE:
            self.acknowledge(side, peer, row.ack)
        if row.plen and not rst and start >= 0:
            side.seen.append((min(start + syn, side.sent), min(start + syn + row.plen, side.sent)))
        # What follows the two ends counts only when it brings payload.
        if not over or (row.plen and not repeated):
            self.last = max(self.last, ts)

    @staticmethod
    def begin(side: Side, seq: int, length: int, syn: bool) -> None:
        """Count anew: a side's first packet, and a SYN unless the side has ended."""
        if side.state is E.INACTIVE and not syn:
            side.begin(seq - 1, 1)  # its SYN was not seen
        elif syn and (side.state is E.INACTIVE or side.zero != seq):
            reset_first = side.state is E.RESET and side.before is E.INACTIVE
            if side.state not in (E.CLOSED, E.RESET) or reset_first:
                side.begin(seq, length)

    def flags(self, side: Side, row: Row, start: int) -> None:
        """One letter at most: that of the flags, or else of what is in it."""
        kinds = row.flags & (SYN | FIN | RST)
        if kinds == SYN:
            self.numbered(side, "H" if row.flags & ACK else "S", "S", start)
        elif kinds == FIN:
            self.numbered(side, "F", "F", start + row.plen)
        elif kinds == RST:
            self.numbered(side, "R", "R", start)
        elif kinds:
            self.once(side, "I" if kinds & FIN and kinds & RST else "Q")
        elif row.plen:
            self.once(side, "D")
        elif row.flags & ACK:
            self.once(side, "A")

    @staticmethod
    def send(side: Side, row: Row, start: int, end: int) -> bool:
        """Follow the numbers of a side; True when its payload was there before."""
        length = end - start
        if row.flags & (SYN | RST) and abs(end - side.sent) > NEAR:
            return False
        if row.flags & FIN and side.sent == 1:  # after a SYN alone a FIN is believed, however far it is
            end += 2**32 if end < side.sent else 0
        elif side.state is E.RESET:
            return False
        elif end <= side.sent:
            return bool(row.plen)
        side.seen.append((end - length, end))
        side.sent = end
        return False

    def acknowledge(self, side: Side, peer: Side, ack: int) -> None:
        """What the peer sent by this, seen or not; bytes that nobody saw until now were missed."""
        turn = 2**32
        ahead = (ack - peer.zero - peer.acked) % turn
        if not 0 < ahead < turn // 2 or (ack == 0 and ahead > NEAR):
            return
        before, peer.acked = peer.acked, peer.acked + ahead
        for first, behind in peer.holes(before, min(peer.acked, peer.sent) if peer.fin else peer.acked):
            if side.clean and peer.clean:  # of others the numbers are not to be trusted
                peer.missed += behind - first
                self.now_and_then(peer, "G")

    def step(self, side: Side, peer: Side, row: Row) -> None:
        """The states after a segment of ``side``."""
        syn, fin, rst, ack = (bool(row.flags & flag) for flag in (SYN, FIN, RST, ACK))
        was = side.state
        if was is E.INACTIVE:
            self.first_step(side, peer, row)
        elif was in (E.SYN_SENT, E.SYN_ACK_SENT):
            for happened, state in ((fin, E.CLOSED), (rst, E.RESET)):
                if happened:
                    side.go(state)
        elif was in (E.ESTABLISHED, E.PARTIAL):
            if syn and not ack and was is E.PARTIAL and peer.state is E.INACTIVE:
                side.go(E.SYN_SENT)
            if rst:
                side.go(E.RESET)
            elif fin:
                side.go(E.CLOSED)
                if (peer.before, peer.state) == (E.CLOSED, E.RESET):  # FIN, RST, and now the other FIN
                    peer.go(E.CLOSED)
        elif was is E.CLOSED and rst and peer.state is not E.CLOSED:
            side.go(E.RESET)

    def first_step(self, side: Side, peer: Side, row: Row) -> None:
        syn, fin, rst, ack = (bool(row.flags & flag) for flag in (SYN, FIN, RST, ACK))
        bare_reply = side is self.resp and not row.plen and peer.state is E.SYN_SENT
        if syn and side is self.orig:
            side.go(E.SYN_ACK_SENT if ack else E.SYN_SENT)
        elif syn:
            side.go(E.ESTABLISHED)
            if peer.state is E.SYN_SENT:
                peer.go(E.ESTABLISHED)
        if fin:
            side.go(E.CLOSED)
        if rst:
            side.go(E.RESET)
        if not (syn or fin or rst or bare_reply):
            side.go(E.ESTABLISHED if ack and peer.state is E.ESTABLISHED else E.PARTIAL)

    @property
    def sizes(self) -> tuple[int, int]:
        return self.orig.size(self.resp), self.resp.size(self.orig)

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
            nothing = self.sizes == (0, 0)
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
