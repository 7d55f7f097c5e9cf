"""What speaks on open ports: listens, then asks the likeliest services, each on a new connection, within bounds.

One port costs at most ``TALKS_MAX`` talks and ``PORT_S`` seconds. The way of a TCP port:
  1. listen (250 ms; longer where a service lives that greets by itself). A greeting is shown to every talk that begins by
     listening, without sending; the first that does not turn it down goes on over the same connection;
  2. silence: the services of this port number, a TLS hello, an HTTP request, then the others by ``LIKELY``;
  3. behind TLS the same again: greeting, the services of this number, HTTP, the others;
  4. nothing helped: a guess by number, and it is called one.
Talks that share a name complete each other: what the second finds is added to what the first found.
A raw printer prints whatever is sent to it: on its ports nothing but a question in its own language goes out, until an
answer shows that no printer listens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from nsm.iana import SERVICE_NAMES
from nsm.model.discovery import specs as discover
from nsm.model.interfaces import ServiceSpec
from nsm.model.scan import PortState, ScannedPort, Service
from nsm.scan.examination import ANSWER_S, BANNER_S, GREETING_S, OWN_ANSWER_S, Examination, Remembering
from nsm.scan.line import Line, UdpLine, udp_line
from nsm.scan.risks import risks_of
from nsm.scan.talking import escaped

log = logging.getLogger(__name__)

TALKS_MAX: Final = 6
CLOSING_TALKS_MAX: Final = 2  # ours: where connections are closed before anything was said
PORT_S: Final = 5.0
PRINTER_PORTS: Final = frozenset(range(9100, 9108))  # pdl-datastream and its neighbours on print servers
SERVICES: Final = "nsm.scan.services"


def all_services() -> dict[str, ServiceSpec]:
    """Module name -> SPEC of every service that is known."""
    return discover(SERVICES, SERVICES)


def known_consents() -> frozenset[str]:
    """The words that ``identify`` takes as consents."""
    return frozenset(spec.consent for spec in all_services().values() if spec.consent)


def guess(port: int, proto: str = "tcp", services: Mapping[str, ServiceSpec] | None = None) -> Service:
    """What a port number alone suggests, in the words of the talks; confidence says how little that is."""
    own = (spec for spec in (services or {}).values() if port in spec.ports and spec.transport == proto)
    likeliest = min((spec for spec in own if spec.name != "tls"), key=lambda spec: spec.ports.index(port), default=None)
    name = likeliest.name if likeliest is not None else SERVICE_NAMES.get(port, "")
    return Service(name=name or "unknown", how="port", confidence=(0.2 if proto == "tcp" else 0.1) if name else 0.0)


async def _ask(state: Examination, key: str, line: Line, first: Sequence[bytes] = ()) -> Service | None:
    """Hold the talk of one service over a line, which is closed after it."""
    state.talks += 1
    wait_s = OWN_ANSWER_S if state.is_own(key) or first else ANSWER_S
    try:
        found = await state.hold(state.usable[key].talk(state.place), line, wait_s, first)
    finally:
        line.close()
    return found


async def _greeted(state: Examination, line: Line, banner: bytes, *, sealed: bool) -> tuple[str, Service] | None:
    """Go on with those services that greet like this: the first over this line, each other over a new one."""
    state.banner = state.banner or banner
    for at, key in enumerate(state.takers(banner, sealed=sealed)):
        if state.talks >= TALKS_MAX:
            break
        over: Line | None = line if at == 0 else await state.open(sealed=sealed)
        if over is None:
            break
        found = await _ask(state, key, over, [banner] if at == 0 else ())
        if found is not None:
            return key, found
    return None


async def _greeted_late(state: Examination, *, sealed: bool) -> tuple[str, Service] | None:
    """Once more from the beginning, with patience: a greeting came while another service was asked for."""
    line = await state.open(sealed=sealed)
    if line is None:
        return None
    try:
        banner = await line.exchange(b"", GREETING_S + state.slack_s)
        return await _greeted(state, line, banner, sealed=sealed) if banner else None
    finally:
        line.close()


async def _silent(state: Examination, line: Line, *, sealed: bool) -> tuple[str, Service] | None:
    """Ask those services that wait to be asked, over a new connection each."""
    free: Line | None = line
    queue = [key for key in state.order(sealed=sealed) if not state.usable[key].speaks_first]
    printer = state.port.port in PRINTER_PORTS and not sealed
    talks_max = state.talks + CLOSING_TALKS_MAX if state.silent_ends else TALKS_MAX
    while queue and state.talks < min(talks_max, TALKS_MAX):
        key = queue.pop(queue.index("jetdirect") if printer and "jetdirect" in queue else 0)
        if printer and key != "jetdirect":
            break
        over, free = free or await state.open(sealed=sealed), None
        if over is None:
            break
        said = Remembering(over)
        found = await _ask(state, key, said)
        if found is not None:
            return key, found
        if said.heard:
            state.banner = state.banner or said.first
            if printer and said.first.startswith(b"HTTP/"):
                printer = False  # the queue was not touched: all others are still in it
            if state.takers(said.first, sealed=sealed) and state.talks < TALKS_MAX:
                result = await _greeted_late(state, sealed=sealed)
                if result is not None:
                    return result
            # Its answer to the wrong question may be one that another talk knows: that one is next.
            hinted = [key for key in state.takers(said.first, sealed=sealed, greeting=False) if key in queue]
            queue = hinted + [key for key in queue if key not in hinted]
    if free is not None:
        free.close()
    return None


async def _look(state: Examination, *, sealed: bool) -> tuple[str, Service] | None:
    """Which service answers, inside TLS or not."""
    line = await state.open(sealed=sealed)
    if line is None:
        return None
    wait_s = (GREETING_S if state.greets(sealed=sealed) else BANNER_S) + state.slack_s
    try:
        banner = await line.exchange(b"", wait_s)
        if banner:
            result = await _greeted(state, line, banner, sealed=sealed)
            if result is not None:
                return result
            line.close()
            line = await state.open(sealed=sealed)
        elif line.closed:
            state.silent_ends += 1
            line.close()
            line = await state.open(sealed=sealed)
        return await _silent(state, line, sealed=sealed) if line is not None else None
    finally:
        if line is not None:
            line.close()


async def _complete(state: Examination, key: str, found: Service) -> Service:
    """Add what the other talks of the same name find."""
    name = state.usable[key].name
    for other, spec in state.usable.items():
        if other == key or spec.name != name or state.talks >= TALKS_MAX:
            continue
        line = await _line_for(state, sealed=found.tls)
        more = await _ask(state, other, line) if line is not None else None
        if more is not None:
            found = msgspec.structs.replace(
                found, details={**more.details, **found.details},
                product=found.product or more.product, version=found.version or more.version,
            )  # fmt: skip
            state.found = found
    return found


async def _line_for(state: Examination, *, sealed: bool) -> Line | None:
    if state.port.proto == "tcp":
        return await state.open(sealed=sealed)
    try:
        return await udp_line(state.place.address, state.place.port)
    except OSError:
        return None


async def _tcp(state: Examination) -> None:
    """Find out what speaks on a TCP port; what is known so far is always in ``state.found``."""
    result = await _look(state, sealed=False)
    if result is None:
        return
    key, found = result
    state.found = found
    if key == "tls" and not found.details.get("tls_failed"):
        state.place = msgspec.structs.replace(state.place, tls=True)
        found = state.found = msgspec.structs.replace(found, tls=True)
        inner = await _look(state, sealed=True)
        if inner is not None:
            key, service = inner
            found = msgspec.structs.replace(service, tls=True, details={**found.details, **service.details})
            state.found = found
    await _complete(state, key, found)


async def _udp(state: Examination) -> None:
    """Find out what answers on a UDP port."""
    for key in state.order()[:TALKS_MAX]:
        line: UdpLine | None = None
        try:
            line = await udp_line(state.place.address, state.place.port)
            found = await _ask(state, key, line)
        except OSError:
            return
        finally:
            if line is not None:
                line.close()
        if found is not None:
            state.found = found
            await _complete(state, key, found)
            return


def _told(state: Examination, now: datetime) -> ScannedPort:
    """The port with its service and the service's risks."""
    port, found = state.port, state.found
    if found is not None and port.state == PortState.OPEN_FILTERED:
        port = msgspec.structs.replace(port, state=PortState.OPEN, reason="answer")
    if found is None:
        found = guess(port.port, port.proto, state.usable)
        if state.silent_ends:
            found = msgspec.structs.replace(found, details={"closes": "without a word"})
    if not found.banner and state.banner:
        found = msgspec.structs.replace(found, banner=escaped(state.banner))
    found = msgspec.structs.replace(found, risks=risks_of(found, port.address, now))
    return msgspec.structs.replace(port, service=found)


async def _one(
    port: ScannedPort, services: Mapping[str, ServiceSpec], name: str, free: asyncio.Semaphore
) -> ScannedPort:
    wanted = port.state == PortState.OPEN or (port.state == PortState.OPEN_FILTERED and port.proto == "udp")
    if not wanted or port.proto not in ("tcp", "udp"):
        return port
    async with free:
        state = Examination(port, services, name)
        began = time.monotonic()
        try:
            async with asyncio.timeout(PORT_S):
                await (_tcp(state) if port.proto == "tcp" else _udp(state))
        except TimeoutError:
            log.debug("service not recognised in time address=%s port=%d", port.address, port.port)
        log.debug("asked address=%s port=%d s=%.2f", port.address, port.port, time.monotonic() - began)
        return _told(state, datetime.now(UTC))


async def identify(
    ports: Sequence[ScannedPort], *, consents: frozenset[str] = frozenset(), connections_max: int = 200,
    names: Mapping[str, str] | None = None, services: Mapping[str, ServiceSpec] | None = None,
) -> list[ScannedPort]:  # fmt: skip
    """The same ports in the same order, the open ones with their service.

    ``consents``: which talks may be held that say something like a credential. ``names``: address -> the name that it was
    looked up by, for servers of several names. ``services``: others than those that discovery finds.
    """
    known = services if services is not None else all_services()
    allowed = {key: spec for key, spec in known.items() if not spec.consent or spec.consent in consents}
    free = asyncio.Semaphore(max(1, connections_max))
    wanted = (_one(port, allowed, (names or {}).get(port.address, ""), free) for port in ports)
    return list(await asyncio.gather(*wanted))


def identify_now(ports: Iterable[ScannedPort], *, consents: frozenset[str] = frozenset()) -> list[ScannedPort]:
    """``identify`` for callers without an event loop."""
    return asyncio.run(identify(list(ports), consents=consents))
