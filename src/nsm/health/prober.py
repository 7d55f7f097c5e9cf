"""Probes to all targets, for as long as it runs: one a second each, four while the last minute had loss."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from nsm.health.gateway import Target
from nsm.health.ping import TCP, Datagram, Raw, TcpConnects, version_of
from nsm.health.probes import LONG_S, Probes

log = logging.getLogger(__name__)

CONNECTS_MAX: Final = 16  # on their way to one target


class Asked:
    """One target and what its probes said."""

    def __init__(self, target: Target, way: Datagram | Raw | None, timeout_s: float) -> None:
        self.target, self._way = target, way
        self._connects = None if way is not None else TcpConnects(target.address)
        self.probes = Probes(timeout_s)
        self.answered = False
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
        elif len(self._open) < CONNECTS_MAX:
            task = asyncio.get_running_loop().create_task(self._connect(self.probes.ask(time.monotonic())))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    def heard(self, number: int, now_s: float) -> None:
        """An answer came."""
        self.answered |= self.probes.answer(number, now_s)

    def shape(self, now_s: float) -> dict[str, Any]:
        """Target, method, and the figures of both windows; times in ms."""
        windows = {name: self.probes.window(now_s, span) for name, span in (("minute", 60.0), ("quarter", LONG_S))}
        jitter = self.probes.jitter_s
        return {
            **msgspec.to_builtins(self.target), "method": self.method, "answered": self.answered,
            "jitter_ms": None if jitter is None else jitter * 1_000, "duplicates": self.probes.duplicates,
            **{name: {**msgspec.to_builtins(window), "loss": window.loss} for name, window in windows.items()},
        }  # fmt: skip

    async def _connect(self, number: int) -> None:
        if self._connects is not None and await self._connects.ask():
            self.heard(number, time.monotonic())


class Prober:
    """The targets that are asked now. ``choose`` says which they are; it is asked again with ``refresh``."""

    def __init__(
        self, choose: Callable[[], Sequence[Target]], ways: Mapping[int, Datagram | Raw], timeout_s: float
    ) -> None:
        self._choose, self._ways, self._timeout_s = choose, ways, timeout_s
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
            self._asked.pop(address)[1].cancel()
        for address, target in wanted.items():
            if address not in self._asked:
                asked = Asked(target, self._ways.get(version_of(target.address)), self._timeout_s)
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
