"""Which protocol the first bytes of a flow are: by content first, by port where content has no magic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from nsm.model.protocol import Match, ProtocolSpec, Side

FIRST_BYTES_MAX: Final = 4_096  # of one side that are kept until its protocol is known; ours: no greeting is longer
ORDERS_MAX: Final = 65_536  # of probes that are remembered, by ports and first byte
Probe = Callable[[bytes, Side, bool], Match]


class Recogniser:
    """Asks the probes of one transport in the right order: those whose port it is, then those with the stronger magic."""

    def __init__(self, found: Iterable[ProtocolSpec], transport: str) -> None:
        self._specs = sorted(
            (spec for spec in found if transport in spec.transports), key=lambda spec: (-spec.weight, spec.name)
        )
        self._ports: dict[int, list[ProtocolSpec]] = {}
        for spec in self._specs:
            for port in spec.ports:
                self._ports.setdefault(port, []).append(spec)
        self._orders: dict[tuple[int, int, int], list[tuple[Probe, ProtocolSpec, bool]]] = {}

    def _order(self, client_port: int, server_port: int, byte: int) -> list[tuple[Probe, ProtocolSpec, bool]]:
        """(probe, spec, is the port its) in the order to ask; the server's port before the client's."""
        ports = self._ports
        key = (server_port if server_port in ports else 0, client_port if client_port in ports else 0, byte)
        known = self._orders.get(key)
        if known is None:
            first = list(dict.fromkeys((*self._ports.get(server_port, ()), *self._ports.get(client_port, ()))))
            others = [
                spec
                for spec in self._specs
                if spec not in first and not spec.on_port and (not spec.first or byte in spec.first)
            ]
            known = [(spec.probe, spec, True) for spec in first] + [(spec.probe, spec, False) for spec in others]
            if len(self._orders) >= ORDERS_MAX:
                self._orders.clear()
            self._orders[key] = known
        return known

    def match(self, data: bytes, side: Side, client_port: int, server_port: int) -> tuple[ProtocolSpec | None, bool]:
        """(the protocol of these bytes, may more of them decide?)."""
        more = False
        for probe, spec, port in self._order(client_port, server_port, data[0]):
            answer = probe(data, side, port)
            if answer is Match.YES:
                return spec, False
            more = more or answer is Match.MORE
        return None, more and len(data) < FIRST_BYTES_MAX
