"""What is tried and known of one port: the order of the services, the connections, the holding of a talk."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.model.scan import ScannedPort, Service
from nsm.scan.line import Line, TcpLine, TlsLine, connect
from nsm.scan.talking import ASKS_MAX
from nsm.scan.tunnel import Tunnel

log = logging.getLogger(__name__)

BANNER_S: Final = 0.25
GREETING_S: Final = 2.0  # ours: where a service lives that greets, which may look up our name first
CONNECT_S: Final = 1.5
OWN_ANSWER_S: Final = 1.5  # ours: a service of this port number; the others are asked in passing
ANSWER_S: Final = 0.6
LIKELY: Final = (  # ours: after TLS and HTTP, what is met most often on strange port numbers
    "tls", "http", "smb", "rdp", "redis", "postgresql", "mqtt", "dns_tcp", "ldap", "mongodb", "amqp", "memcached", "socks",
    "rpcbind", "irc", "zookeeper", "xmpp", "x11", "git", "ms_sql", "sip", "dns", "snmp", "ntp", "stun", "tftp",
)  # fmt: skip


class Examination:
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

    def judge(self, key: str, said: bytes) -> int:
        """Would this talk go on if it was told this first? 2: it knows it, 1: it asks for more of it, 0: no.

        Nothing is sent to find out. What a service says to the question of another often shows what it is.
        """
        talk = self.usable[key].talk(self.place)
        try:
            next(talk)
            return 2 if talk.send(said) else 1
        except StopIteration as end:
            return 2 if end.value is not None else 0
        except MalformedError:
            return 0
        except Exception:  # as above
            log.exception("talk failed on an answer service=%s", key)
            return 0
        finally:
            talk.close()

    def takers(self, said: bytes, *, sealed: bool, greeting: bool = True) -> list[str]:
        """Services that greet, or answer, like this: those that are sure, then the first that would hear more."""
        ranked = [
            (key, self.judge(key, said))
            for key in self.order(sealed=sealed)
            if self.usable[key].speaks_first == greeting
        ]
        return [key for key, sure in ranked if sure == 2] + [key for key, sure in ranked if sure == 1][
            : 1 if greeting else 0
        ]

    async def open(self, *, sealed: bool) -> TcpLine | TlsLine | None:
        """A new connection, with TLS when it is wanted; None when there is none."""
        try:
            line = await connect(self.place.address, self.place.port, CONNECT_S)
        except OSError:
            return None
        if not sealed:
            return line
        tunnel = Tunnel(self.place.name)
        done = False
        try:
            done = await self.shake_hands(line, tunnel)
        finally:
            if not done:
                line.close()
        return TlsLine(line, tunnel) if done else None

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


class Remembering:
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
