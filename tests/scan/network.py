"""A made-up network with a clock of its own: probes are lost, answered late or never, without any waiting."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Sequence

from nsm.model.scan import PortState
from nsm.scan.packets import Told
from nsm.scan.schedule import Probe

SEND_S = 10e-6


class Network:
    """A prober. ``silent`` and ``open`` are ports of every host; loss is that of the way there and back together."""

    def __init__(
        self, *, loss: float = 0.0, rtt: float = 0.001, silent: Iterable[int] = (), opened: Iterable[int] = (), seed: int = 1,
        full_every: int = 0, icmp_rate: float = 0.0,
    ) -> None:  # fmt: skip
        """``icmp_rate``: of closed ports it tells as Linux does, six at once and then so many a second; 0 is always."""
        self._rng = random.Random(seed)
        self._loss, self._rtt, self._full_every = loss, rtt, full_every
        self._silent, self._open = frozenset(silent), frozenset(opened)
        self._icmp_rate, self._tokens, self._told_at = icmp_rate, 6.0, 0.0
        self._coming: list[tuple[float, int, Told]] = []
        self.now = 100.0
        self.sent: list[tuple[float, Probe]] = []
        self.forgotten: list[tuple[int, int]] = []
        self.unreachable: list[tuple[int, str]] = []
        self.on_way_max = 0

    def clock(self) -> float:
        return self.now

    def send(self, probes: Sequence[Probe]) -> Sequence[Probe]:
        for number, (host, port, attempt) in enumerate(probes):
            if self._full_every and self._rng.randrange(self._full_every) == 0:
                return probes[number:]
            self.now += SEND_S
            self.sent.append((self.now, (host, port, attempt)))
            if port in self._silent or self._rng.random() < self._loss:
                continue
            state, reason = (PortState.OPEN, "syn-ack") if port in self._open else (PortState.CLOSED, "rst")
            if state == PortState.CLOSED and self._icmp_rate:
                self._tokens = min(6.0, self._tokens + (self.now - self._told_at) * self._icmp_rate)
                self._told_at = self.now
                if self._tokens < 1:
                    continue
                self._tokens -= 1
                reason = "icmp port unreachable"
            at = self.now + self._rtt * self._rng.uniform(0.9, 1.1)
            heapq.heappush(self._coming, (at, len(self.sent), (host, port, attempt, state, reason, 64)))
        self.on_way_max = max(self.on_way_max, len(self._coming))
        return ()

    def receive(self, wait_s: float) -> list[Told]:
        if wait_s > 0 and not (self._coming and self._coming[0][0] <= self.now):
            self.now += wait_s
            if self._coming:
                self.now = min(self.now, max(self._coming[0][0], self.now - wait_s))
        found = []
        while self._coming and self._coming[0][0] <= self.now:
            found.append(heapq.heappop(self._coming)[2])
        return found

    def forget(self, questions: Iterable[tuple[int, int]]) -> None:
        self.forgotten += questions

    def close(self) -> None:
        pass
