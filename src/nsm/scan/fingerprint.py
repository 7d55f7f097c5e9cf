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

from nsm.errors import MalformedError
from nsm.iana import SERVICE_NAMES
from nsm.model.discovery import specs as discover
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.model.scan import PortState, ScannedPort, Service
from nsm.scan.line import Line, TcpLine, TlsLine, UdpLine, connect, udp_line
from nsm.scan.risks import risks_of
from nsm.scan.talking import ASKS_MAX, escaped
from nsm.scan.tunnel import Tunnel

log = logging.getLogger(__name__)

TALKS_MAX: Final = 6
PORT_S: Final = 5.0
BANNER_S: Final = 0.25
GREETING_S: Final = 2.0  # ours: where a service lives that greets, which may look up our name first
CONNECT_S: Final = 1.5
OWN_ANSWER_S: Final = 1.5  # ours: a service of this port number; the others are asked in passing
ANSWER_S: Final = 0.6
PRINTER_PORTS: Final = frozenset(range(9100, 9108))  # pdl-datastream and its neighbours on print servers
LIKELY: Final = (  # ours: after TLS and HTTP, what is met most often on strange port numbers
    "tls", "http", "smb", "rdp", "redis", "postgresql", "mqtt", "dns_tcp", "ldap", "mongodb", "amqp", "memcached", "socks",
    "rpcbind", "irc", "zookeeper", "xmpp", "x11", "git", "ms_sql", "sip", "dns", "snmp", "ntp", "stun", "tftp",
)  # fmt: skip
SERVICES: Final = "nsm.scan.services"


def all_services() -> dict[str, ServiceSpec]:
    """Module name -> SPEC of every service that is known."""
    return discover(SERVICES, SERVICES)


def guess(port: int, proto: str = "tcp") -> Service:
    """What a port number alone suggests; confidence says how little that is."""
    name = SERVICE_NAMES.get(port, "")
    return Service(name=name or "unknown", how="port", confidence=(0.2 if proto == "tcp" else 0.1) if name else 0.0)


class _Examination:
    """What is tried and known of one port."""

    def __init__(self, port: ScannedPort, services: Mapping[str, ServiceSpec], name: str) -> None:
        self.port = port
        self.place = Place(address=port.address, port=port.port, name=name)
        self.usable = {key: spec for key, spec in services.items() if spec.transport == port.proto}
        self.talks = 0
        self.slack_s = min(1.0, 4 * port.rtt_ms / 1000)
        self.banner = b""
        self.found: Service | None = None
        self.silent_ends = 0

    # Order

    def order(self, *, sealed: bool = False) -> list[str]:
        """Names of the services, the likeliest first."""
        rank = {key: at for at, key in enumerate(LIKELY)}
        own = sorted((key for key in self.usable if self.is_own(key)), key=self._own_rank)
        if not sealed and "tls" in own:
            own.remove("tls")
            own.insert(0, "tls")
        rest = sorted((key for key in self.usable if key not in own), key=lambda key: (rank.get(key, 99), key))
        return [key for key in own + rest if not (sealed and key == "tls")]

    def is_own(self, key: str) -> bool:
        """Does this service usually live on this port number?"""
        return self.port.port in self.usable[key].ports

    def _own_rank(self, key: str) -> tuple[int, str]:
        spec = self.usable[key]
        return spec.ports.index(self.port.port), key

    def greets(self, *, sealed: bool) -> bool:
        """May a service be here that speaks first, and none that waits for TLS?"""
        own = [key for key in self.order(sealed=sealed) if self.is_own(key)]
        return bool(own) and self.usable[own[0]].speaks_first

    # Talking

    async def hold(self, talk: Talk, line: Line, wait_s: float, first: Sequence[bytes] = ()) -> Service | None:
        """Hold a talk to its end; ``first`` is what already came and answers its first questions."""
        ready = list(first)
        try:
            send = next(talk)
            for _ in range(ASKS_MAX + len(ready) + 1):
                if ready and not send:
                    got = ready.pop(0)
                else:
                    got = await line.exchange(send, wait_s + self.slack_s)
                send = talk.send(got)
        except StopIteration as end:
            found: Service | None = end.value
            return found
        except MalformedError:
            return None
        except Exception:  # a mistake in one talk costs one answer, not the scan
            log.exception("talk failed address=%s port=%d", self.place.address, self.place.port)
            return None
        finally:
            talk.close()
        return None

    def takes(self, key: str, banner: bytes) -> bool:
        """Would the talk of a service that greets go on after this greeting? Nothing is sent to find out."""
        talk = self.usable[key].talk(self.place)
        try:
            if next(talk):
                return False
            talk.send(banner)
        except StopIteration as end:
            return end.value is not None
        except MalformedError:
            return False
        except Exception:  # as above
            log.exception("talk failed on a greeting service=%s", key)
            return False
        finally:
            talk.close()
        return True

    def takers(self, banner: bytes, *, sealed: bool) -> list[str]:
        """Services that greet like this."""
        return [key for key in self.order(sealed=sealed) if self.usable[key].speaks_first and self.takes(key, banner)]

    async def open(self, *, sealed: bool) -> TcpLine | TlsLine | None:
        """A new connection, with TLS when it is wanted; None when there is none."""
        try:
            line = await connect(self.place.address, self.place.port, CONNECT_S)
        except OSError:
            return None
        if not sealed:
            return line
        tunnel = Tunnel(self.place.name)
        if await self.shake_hands(line, tunnel):
            return TlsLine(line, tunnel)
        line.close()
        return None

    async def shake_hands(self, line: TcpLine, tunnel: Tunnel) -> bool:
        """Go through the handshake of a tunnel."""
        steps = tunnel.handshake()
        try:
            send = next(steps)
            for _ in range(ASKS_MAX):
                send = steps.send(await line.exchange(send, OWN_ANSWER_S + self.slack_s))
        except StopIteration as end:
            return bool(end.value)
        finally:
            steps.close()
        return False


async def _ask(state: _Examination, key: str, line: Line, first: Sequence[bytes] = ()) -> Service | None:
    """Hold the talk of one service over a line, which is closed after it."""
    state.talks += 1
    wait_s = OWN_ANSWER_S if state.is_own(key) or first else ANSWER_S
    try:
        found = await state.hold(state.usable[key].talk(state.place), line, wait_s, first)
    finally:
        line.close()
    return found


async def _greeted(state: _Examination, line: Line, banner: bytes, *, sealed: bool) -> tuple[str, Service] | None:
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


async def _silent(state: _Examination, line: Line, *, sealed: bool) -> tuple[str, Service] | None:
    """Ask those services that wait to be asked, over a new connection each."""
    free: Line | None = line
    queue = [key for key in state.order(sealed=sealed) if not state.usable[key].speaks_first]
    printer = state.port.port in PRINTER_PORTS and not sealed
    while queue and state.talks < TALKS_MAX and state.silent_ends < 3:
        key = queue.pop(0)
        if printer and key != "jetdirect":
            continue
        over, free = free or await state.open(sealed=sealed), None
        if over is None:
            break
        said = _Remembering(over)
        found = await _ask(state, key, said)
        if found is not None:
            return key, found
        state.silent_ends += said.closed and not said.heard
        if said.heard:
            state.banner = state.banner or said.first
            if printer and said.first.startswith(b"HTTP/"):
                printer, queue = False, [item for item in state.order(sealed=sealed) if item not in (key, "jetdirect")]
            late = state.takers(said.first, sealed=sealed)
            if late and state.talks < TALKS_MAX and (again := await state.open(sealed=sealed)) is not None:
                greeting = await again.exchange(b"", GREETING_S + state.slack_s)
                result = await _greeted(state, again, greeting, sealed=sealed) if greeting else None
                if result is not None:
                    return result
    if free is not None:
        free.close()
    return None


class _Remembering:
    """A line that keeps the first bytes that came over it."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.first = b""
        self.heard = 0
        self.closed = False

    async def exchange(self, send: bytes, wait_s: float) -> bytes:
        """As the line's."""
        got = await self._line.exchange(send, wait_s)
        self.first = self.first or got
        self.heard += len(got)
        self.closed = self._line.closed
        return got

    def close(self) -> None:
        """As the line's."""
        self._line.close()


async def _look(state: _Examination, *, sealed: bool) -> tuple[str, Service] | None:
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


async def _complete(state: _Examination, key: str, found: Service) -> Service:
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


async def _line_for(state: _Examination, *, sealed: bool) -> Line | None:
    if state.port.proto == "tcp":
        return await state.open(sealed=sealed)
    try:
        return await udp_line(state.place.address, state.place.port)
    except OSError:
        return None


async def _tcp(state: _Examination) -> None:
    """Find out what speaks on a TCP port; what is known so far is always in ``state.found``."""
    result = await _look(state, sealed=False)
    if result is None:
        return
    key, found = result
    state.found = found
    if key == "tls" and not found.details.get("tls_failed"):
        state.place = msgspec.structs.replace(state.place, tls=True)
        inner = await _look(state, sealed=True)
        if inner is not None:
            key, service = inner
            found = msgspec.structs.replace(service, tls=True, details={**found.details, **service.details})
            state.found = found
    await _complete(state, key, found)


async def _udp(state: _Examination) -> None:
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


def _told(state: _Examination, now: datetime) -> ScannedPort:
    """The port with its service and the service's risks."""
    port, found = state.port, state.found
    if found is not None and port.state == PortState.OPEN_FILTERED:
        port = msgspec.structs.replace(port, state=PortState.OPEN, reason="answer")
    if found is None:
        found = guess(port.port, port.proto)
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
        state = _Examination(port, services, name)
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
