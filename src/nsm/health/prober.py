"""Probes to all targets, for as long as it runs: one a second each, four while the last minute had loss.

A target that leaves echoes unanswered for a while is also asked over TCP: it may only have stopped to answer echoes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec

from nsm.health.gateway import Target
from nsm.health.ping import TCP, Datagram, Raw, TcpConnects, version_of
from nsm.health.probes import LONG_S, Probes

log = logging.getLogger(__name__)

CONNECTS_MAX: Final = 16  # on their way to one target
QUIET_S: Final = 5.0  # without an answer to an echo for so long, TCP is tried, and so often
KNOWN_MAX: Final = 64
REACHED_S: Final = 60.0  # an answer over TCP says so much about echoes of the last minute


class Asked:
    """One target and what its probes said. ``answered``: it answered ever, also to an earlier process."""

    def __init__(self, target: Target, way: Datagram | Raw | None, timeout_s: float, *, answered: bool = False) -> None:
        self.target, self._way = target, way
        self._connects = TcpConnects(target.address)
        self.probes = Probes(timeout_s)
        self.answered = answered
        self._heard_s = self._tried_s = time.monotonic()
        self._reached_s = -REACHED_S
        self._open: set[asyncio.Task[None]] = set()

    @property
    def method(self) -> str:
        """How it is asked."""
        return TCP if self._way is None else self._way.method

    async def run(self) -> None:
        """Ask until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.ask()
            # What never answered is not lost for a while: asking it more often would say nothing.
            spacing = self.probes.spacing_s(time.monotonic()) if self.answered else 1.0
            due = max(due + spacing, loop.time())
            await asyncio.sleep(due - loop.time())

    def ask(self) -> None:
        """Send one probe; what cannot be sent is not answered."""
        if self._way is not None:
            number = self.probes.ask(time.monotonic())
            with contextlib.suppress(OSError):
                self._way.send(self.target.address, number)
            self._ask_otherwise(time.monotonic())
        elif len(self._open) < CONNECTS_MAX:
            self._begin(self._connect(self.probes.ask(time.monotonic())))

    def heard(self, number: int, now_s: float) -> None:
        """An answer came."""
        self._heard_s = now_s
        self.answered |= self.probes.answer(number, now_s)

    def silent(self, now_s: float) -> bool:
        """Was the last minute without any answer, over TCP too?"""
        return self.probes.window(now_s).loss == 1.0 and now_s - self._reached_s > REACHED_S

    def only_echoes(self, now_s: float) -> bool:
        """Are echoes alone unanswered? Then they are not lost: the target does not answer them (any more)."""
        return self.answered and self.probes.window(now_s).loss == 1.0 and not self.silent(now_s)

    def shape(self, now_s: float) -> dict[str, Any]:
        """Target, method, and the figures of both windows; times in ms."""
        windows = {name: self.probes.window(now_s, span) for name, span in (("minute", 60.0), ("quarter", LONG_S))}
        jitter = self.probes.jitter_s
        return {
            **msgspec.to_builtins(self.target), "method": self.method, "answered": self.answered,
            "only_echoes": self.only_echoes(now_s),
            "jitter_ms": None if jitter is None else jitter * 1_000, "duplicates": self.probes.duplicates,
            **{name: {**msgspec.to_builtins(window), "loss": window.loss} for name, window in windows.items()},
        }  # fmt: skip

    def _ask_otherwise(self, now_s: float) -> None:
        if self.answered and now_s - max(self._heard_s, self._tried_s) >= QUIET_S:
            self._tried_s = now_s
            self._begin(self._reach())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _connect(self, number: int) -> None:
        if await self._connects.ask():
            self.heard(number, time.monotonic())

    async def _reach(self) -> None:
        if await self._connects.ask():
            self._reached_s = time.monotonic()


class Prober:
    """The targets that are asked now. ``choose`` says which they are; it is asked again with ``refresh``.

    ``known``: addresses that answered an earlier process.
    """

    def __init__(
        self, choose: Callable[[], Sequence[Target]], ways: Mapping[int, Datagram | Raw], timeout_s: float,
        known: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._choose, self._ways, self._timeout_s = choose, ways, timeout_s
        self._known: deque[str] = deque(known, KNOWN_MAX)
        self._asked: dict[str, tuple[Asked, asyncio.Task[None]]] = {}

    @property
    def asked(self) -> list[Asked]:
        """Those that are asked now, in the order of ``choose``."""
        return [asked for asked, _ in self._asked.values()]

    def begin(self) -> None:
        """Listen for answers, and ask the targets of now."""
        loop = asyncio.get_running_loop()
        for way in self._ways.values():
            loop.add_reader(way.sock, self._read, way)
        self.refresh()

    def refresh(self) -> None:
        """Ask those that are new, leave those that are gone."""
        wanted = {plain(target.address): target for target in self._choose()}
        for address in [one for one in self._asked if self._asked[one][0].target != wanted.get(one)]:
            asked, task = self._asked.pop(address)
            task.cancel()
            if asked.answered:
                self._known.append(asked.target.address)
        for address, target in wanted.items():
            if address not in self._asked:
                way = self._ways.get(version_of(target.address))
                asked = Asked(target, way, self._timeout_s, answered=target.address in self._known)
                log.info("probing target=%s role=%s method=%s", target.address, target.role, asked.method)
                self._asked[address] = asked, asyncio.get_running_loop().create_task(asked.run())

    def end(self) -> None:
        """Ask nobody any more."""
        for _, task in self._asked.values():
            task.cancel()
        self._asked.clear()

    def _read(self, way: Datagram | Raw) -> None:
        now = time.monotonic()
        for address, number in way.read():
            known = self._asked.get(plain(address))
            if known is not None:
                known[0].heard(number, now)


def plain(address: str) -> str:
    """The address in its one spelling, without a zone: as answers name it."""
    return str(ipaddress.ip_address(address.partition("%")[0]))
