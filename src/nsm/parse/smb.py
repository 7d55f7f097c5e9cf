"""SMB 1, 2 and 3: one event per command, files, named pipes. [MS-CIFS], [MS-SMB2]; RFC 1002, section 4.3 for the frames.

Here are the frames; the messages are in ``wire.smb1`` and ``wire.smb2``, what both share in ``wire.smb_state``. Files
stream: of a record that is longer than what may wait, the head is read when it is there, and the rest is handed on.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.wire import smb1, smb2
from nsm.wire.smb_state import SmbState

FRAME_HEAD: Final = 4  # RFC 1002, section 4.3.1
RECORD_BYTES_MAX: Final = 32_768  # ours: what is longer is read by its head
RECORD_HEAD_BYTES: Final = 4096  # ours: messages before the data, and names
_KEEPALIVE: Final = frozenset((0x81, 0x82, 0x83, 0x84, 0x85))  # session request and its answers, keep alive


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A frame with a message in it, or a request for a session."""
    if len(data) < 8:
        begins = data[:1] in (b"\0", b"\x81", b"") and (
            len(data) < 5 or data[0] == 0x81 or data[4] in b"\xfe\xff\xfd\xfc"
        )
        return Match.MORE if begins else Match.NO
    if data[0] == 0 and data[4] in b"\xff\xfe\xfd\xfc" and data[5:8] == b"SMB":
        return Match.YES
    if port and data[0] == 0x81 and data[1] == 0 and int.from_bytes(data[2:4], "big") == 68:
        return Match.YES
    return Match.NO


class SmbParser:
    """One per flow. ``_left``: bytes of the record in hand that go to a file as they come."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._state = SmbState(conv)
        conv.label("smb")
        self._one = smb1.Smb1(self._state)
        self._two = smb2.Smb2(self._state)
        self._left = [0, 0]
        self._after = [0, 0]
        self._streams: list[smb2.Stream | None] = [None, None]
        self._lost = [False, False]

    def feed(self, side: Side, data: bytes) -> int:
        """Read whole records, the heads of long ones, and hand file data on."""
        at, end = 0, len(data)
        if self._lost[side]:
            at = self._resync(side, data)
            if self._lost[side]:
                return at
        while True:
            if self._left[side]:
                at = self._hand_on(side, data, at)
                if self._left[side]:
                    return at
            if at + FRAME_HEAD > end:
                return at
            size = int.from_bytes(data[at + 1 : at + 4], "big")
            if data[at] != 0:
                if data[at] not in _KEEPALIVE:
                    self._conv.anomaly("malformed_data", side=side)
                    self._lost[side] = True
                    return end
                size &= 0x1FFFF
                if at + FRAME_HEAD + size > end:
                    self._conv.skip(side, at + FRAME_HEAD + size - end)
                    return end
                at += FRAME_HEAD + size
                continue
            start, stop = at + FRAME_HEAD, at + FRAME_HEAD + size
            if stop <= end:
                self._record(side, data[start:stop])
                at = stop
            elif size > RECORD_BYTES_MAX and end - start >= RECORD_HEAD_BYTES:
                self._record(side, data[start:end])
                self._rest(side, stop - end)
                return end
            else:
                return at

    def _record(self, side: Side, record: bytes) -> None:
        if record.startswith(smb2.MAGIC):
            self._two.record(side, record)
        elif record.startswith(smb1.MAGIC):
            self._one.record(side, record)

    def _rest(self, side: Side, size: int) -> None:
        """What follows of a record whose head was read."""
        stream = self._two.stream
        if stream is None or stream[2] is not side:
            self._conv.skip(side, size)
            return
        self._left[side] = min(stream[3], size)
        self._after[side] = size - self._left[side]
        self._streams[side] = stream

    def _hand_on(self, side: Side, data: bytes, at: int) -> int:
        piece = data[at : at + self._left[side]]
        stream = self._streams[side]
        if stream is not None and stream[0] is not None:
            stream[0].data(piece)
            stream[1].next[side] += len(piece)
        self._left[side] -= len(piece)
        at += len(piece)
        if not self._left[side] and self._after[side]:  # padding behind the data
            over = max(0, self._after[side] - (len(data) - at))
            self._conv.skip(side, over)
            at += self._after[side] - over
            self._after[side] = 0
        return at

    def _resync(self, side: Side, data: bytes) -> int:
        """Find the next record behind a gap: its frame is four bytes before the message."""
        for magic in (smb2.MAGIC, smb1.MAGIC):
            found = data.find(magic, FRAME_HEAD)
            if found >= 0 and data[found - FRAME_HEAD] == 0:
                self._lost[side] = False
                return found - FRAME_HEAD
        return max(0, len(data) - 7)

    def gap(self, side: Side, size: int) -> bool:
        """A gap in file data is one of the file; behind another one the next record is searched."""
        stream = self._streams[side]
        if self._left[side] >= size and stream is not None and stream[0] is not None:
            stream[0].gap(size)
            stream[1].next[side] += size
            self._left[side] -= size
        else:
            self._left[side] = 0
            self._lost[side] = True
        return True

    def finish(self) -> None:
        """Say what is open."""
        self._state.finish()


SPEC: Final = ProtocolSpec(
    name="smb",
    transports=("tcp",),
    ports=(445, 139),
    probe=probe,
    parser=SmbParser,
    service="smb",
    kinds=("smb", "fileinfo"),
    weight=8,
)
