"""What hangs on the system, by kind: a detector, a sink, a channel. Each is one file with a ``SPEC``, found by discovery."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from nsm.model.address import Networks
from nsm.model.finding import Finding, NearMiss
from nsm.model.notice import Notice
from nsm.model.scan import Service
from nsm.model.table import Rows, Table


class Surroundings(msgspec.Struct, frozen=True):
    """What a detector may know besides its own settings: which networks are ours."""

    home: Networks


class Detector(Protocol):
    """Observes rows of the one table that its SPEC names, in canonical order; holds bounded state.

    The same rows in other portions have to give the same findings. ``saturated`` counts what its bounds refused or forgot.
    """

    @property
    def saturated(self) -> int:
        """How often a bound of its state was reached."""

    def observe(self, rows: Rows) -> Iterable[Finding | NearMiss]:
        """Findings and near misses of these rows."""


class DetectorSpec(msgspec.Struct, frozen=True):
    """A detector as discovery finds it. ``quiet_for`` says what it must stay silent on."""

    name: str
    settings: type[msgspec.Struct]
    detector: Callable[[Any, Surroundings], Detector]
    wants: Table
    attack: tuple[str, ...] = ()
    quiet_for: str = ""


class SinkSpec(msgspec.Struct, frozen=True):
    """An output as discovery finds it."""

    name: str
    settings: type[msgspec.Struct]
    sink: Callable[..., Any]


class Place(msgspec.Struct, frozen=True):
    """Where a service is asked: its address, its port, the name that it was looked up by (empty: none), inside TLS or not."""

    address: str
    port: int
    name: str = ""
    tls: bool = False


Talk = Generator[bytes, bytes, Service | None]
"""A talk with a service, without input and output: it yields what to send (b"": nothing, only listen) and is given what came
back within the time (b"": nothing did, or the other side closed). It returns what the service is, None when it is another."""


class ServiceSpec(msgspec.Struct, frozen=True):
    """How one kind of service is recognised. ``ports``: where it usually is, the likeliest first.

    ``speaks_first``: it sends a banner by itself, which the talk is given as its first answer. ``consent``: the name that
    ``--check`` has to give before this talk is held, since it says something like a credential; empty: none.
    """

    name: str
    talk: Callable[[Place], Talk]
    ports: tuple[int, ...] = ()
    transport: str = "tcp"
    speaks_first: bool = False
    consent: str = ""


class Channel(Protocol):
    """Hands notices to one endpoint. A thread of its own calls it, so it may wait, but not without an end."""

    def send(self, notice: Notice) -> None:
        """Deliver, or raise DeliveryError: a sentence without secrets, since people and logs see it."""


class ChannelSpec(msgspec.Struct, frozen=True):
    """A way to tell people or other systems, as discovery finds it.

    ``channels`` gives name -> how to open it, of the settings: none when nothing is set, several when the settings name
    several endpoints, each with its own queue. ``each``: it wants every alert by itself and at once, as a log does; no
    grouping, quiet hours, rate or daily message.
    """

    name: str
    settings: type[msgspec.Struct]
    channels: Callable[[Any], Mapping[str, Callable[[], Channel]]]
    each: bool = False
