"""The packets of the last moments, and those of them that show an alert: its capsule.

A worker packs the beginning of each packet, as a record of pcapng, into one of two buffers; when that is full, the older one is
begun anew. So between half and all of ``recent_mb`` is there, nothing is moved, and no packet costs a Python object.
Records are looked for by the two addresses, which stand side by side in the headers of IPv4 and IPv6.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from nsm.kernels import pack as pk
from nsm.kernels.constants import LINK_ETHERNET
from nsm.model.batch import PacketBatch
from nsm.model.table import Array
from nsm.run.capsule_records import AFTER_S, Request, around

NEVER: Final = (1 << 63) - 1
HEAD_BYTES: Final = 28  # of an enhanced packet block, before the frame
ADDRESSES_END: Final = 28 + 14 + 8 + 8 + 40  # where addresses lie in a record at most: two tags or PPPoE, then IPv6
TRIES_MAX: Final = 4_000  # places looked at for one capsule, newest first: a flood has too many


class _Half:
    """One buffer: records, where each begins, and how much of it is filled."""

    def __init__(self, size: int) -> None:
        self.out = np.zeros(size + 4, np.uint8)
        self.room = size
        self.used = 0
        self.starts: list[Array] = []

    def clear(self) -> None:
        self.used = 0
        self.starts = []


class Recent:
    """The ring. ``recent_bytes``: of each packet."""

    def __init__(self, recent_mb: int, recent_bytes: int) -> None:
        self._snaplen = recent_bytes
        self._old, self._new = (_Half(recent_mb << 19) for _ in range(2))
        self._state = np.zeros(2, np.int64)

    def add(self, batch: PacketBatch) -> None:
        """Keep the beginnings of these packets."""
        first = 0
        while first < batch.count:
            half = self._new
            done = int(pk.pack(
                batch.data, batch.ts_ns, batch.offset, batch.caplen, batch.wirelen, batch.links, batch.vlan, first,
                batch.count, pk.PCAPNG, self._snaplen, NEVER, half.room - half.used, half.out[half.used :], self._state,
            ))  # fmt: skip
            if done > first:
                half.starts.append(half.used + _starts(batch, first, done, self._snaplen))
                half.used += int(self._state[pk.BYTES])
            if done < batch.count:
                self._old, self._new = half, self._old
                self._new.clear()
            first = done

    def find(self, request: Request) -> list[bytes]:
        """The records of a request, oldest first: the last ``BEFORE_MAX`` until its time, ``AFTER_MAX`` behind it."""
        patterns = patterns_of(request.src, request.dst)
        found = [record for half in (self._old, self._new) for record in _matching(half, patterns)]
        return around(found, request.ts)


def patterns_of(src: str, dst: str) -> tuple[bytes, ...]:
    """What the headers of packets between the two hold; nothing for what is no address."""
    try:
        ends = [ipaddress.ip_address(text).packed for text in (src, dst) if text]
    except ValueError:
        return ()
    if len(ends) == 2:
        return (ends[0] + ends[1], ends[1] + ends[0])
    return tuple(ends)


def _starts(batch: PacketBatch, first: int, stop: int, snaplen: int) -> Array:
    """Where the records of these packets begin, counted from the first: sizes as ``pack`` makes them."""
    caplen = batch.caplen[first:stop].astype(np.int64)
    tagged = (batch.vlan[first:stop] != 0) & (caplen >= pk.TAG_AT) & (batch.links[first:stop] == LINK_ETHERNET)
    kept = np.minimum(caplen + 4 * tagged, snaplen)
    sizes = 32 + (kept + 3) // 4 * 4
    starts: Array = np.cumsum(sizes) - sizes
    return starts


def _matching(half: _Half, patterns: Sequence[bytes]) -> list[bytes]:
    if not half.starts or not patterns:
        return []
    data = half.out[: half.used].tobytes()
    starts = np.concatenate(half.starts)
    half.starts = [starts]
    chosen: set[int] = set()
    for pattern in patterns:
        at, tries = data.rfind(pattern), 0
        while at >= 0 and tries < TRIES_MAX and len(chosen) < TRIES_MAX:
            number = int(np.searchsorted(starts, at, "right")) - 1
            if at - int(starts[number]) < ADDRESSES_END:
                chosen.add(number)
            # The rest of this record is of no use: go on before it.
            at, tries = data.rfind(pattern, 0, int(starts[number])), tries + 1
    ends = [*starts.tolist()[1:], half.used]
    return [data[int(starts[number]) : ends[number]] for number in sorted(chosen)]


class Keeper:
    """A worker's side: answers a request when what follows the alert has come too.

    What was before is taken at once, since a flood would push it out; at most ``WAITING_MAX`` requests wait.
    """

    WAITING_MAX: Final = 32

    def __init__(self, recent: Recent) -> None:
        self._recent = recent
        self._waiting: list[tuple[float, Request, list[bytes]]] = []
        self._link = LINK_ETHERNET
        self.refused = 0

    def add(self, batch: PacketBatch) -> None:
        """Keep the beginnings of these packets."""
        if batch.count:
            self._link = int(batch.links[0])
            self._recent.add(batch)

    def ask(self, request: Request, now_s: float) -> None:
        """Begin to gather a capsule."""
        if len(self._waiting) >= self.WAITING_MAX:
            self.refused += 1
            return
        self._waiting.append((now_s + AFTER_S, request, self._recent.find(request)))

    def ready(self, now_s: float) -> list[dict[str, Any]]:
        """Answers that are due: {alert_id, link, records}."""
        due = [item for item in self._waiting if item[0] <= now_s]
        if not due:
            return []
        self._waiting = [item for item in self._waiting if item[0] > now_s]
        answers = []
        for _, request, before in due:
            both = list(dict.fromkeys([*before, *self._recent.find(request)]))
            records = around(both, request.ts)
            answers.append({"alert_id": request.alert_id, "link": self._link, "records": records})
        return answers
