"""The journal of a scan: written each second while it runs, so that it can go on after a stop or a crash.

One MessagePack file, replaced as a whole, so that it is never half written. It holds what was asked, the hosts that are
done, and for the group of hosts under way the place in the order of ports, the open questions and what is known so far.
The order itself is not in it: it follows from the ports and the seed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from nsm.errors import ScanError
from nsm.model.scan import ScannedHost, ScannedPort
from nsm.scan.ledger import Tally
from nsm.scan.schedule import HostState
from nsm.scan.targets import Target, check_address

FORM: Final = "nsm scan journal 2"
EVERY_S: Final = 1.0
BYTES_MAX: Final = 1 << 30  # ours: what is larger is no journal


class Request(msgspec.Struct, frozen=True):
    """What a person asked for. ``rate`` None: the settings' rates; 0: no limit. ``method`` "" takes the best one possible."""

    targets: tuple[str, ...] = ()
    ports: str = ""
    udp: bool = False
    rate: int | None = None
    method: str = ""
    discovery: bool = True
    permitted: bool = False
    large: bool = False


class Underway(msgspec.Struct):
    """One protocol of the group of hosts that is being asked."""

    states: list[HostState] = []
    tallies: list[Tally] = []
    done: bool = False


class Journal(msgspec.Struct):
    """A scan as far as it is. ``hosts``: those that are up; of them ``finished`` are done, ``group`` more are under way."""

    form: str
    id: str
    started: int
    request: Request
    seed: int
    targets: list[Target]
    known_up: bool = False
    hosts: list[ScannedHost] = []
    finished: int = 0
    group: int = 0
    underway: dict[str, Underway] = {}
    done: list[ScannedHost] = []
    found: list[ScannedPort] = []
    sent: int = 0
    answered: int = 0
    lost: int = 0


def write(path: Path, journal: Journal) -> None:
    """Replace the file; OSError when that fails. Readable for its owner alone: it says what a network has."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(msgspec.msgpack.encode(journal))
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def read(path: Path) -> Journal:
    """The journal in a file; ScanError when there is none."""
    try:
        if path.stat().st_size > BYTES_MAX:
            raise ScanError(f"{path} is too large for a journal of a scan", where="--resume")
        data = path.read_bytes()
    except OSError as error:
        raise ScanError(
            f"cannot read {path}: {error.strerror}",
            where="--resume",
            mend="name the file that the stopped scan told of",
        ) from error
    return parse(data, path)


def parse(data: bytes, path: Path) -> Journal:
    """The journal in the bytes of a file; ScanError when it is none, or names a host that its own request forbids."""
    try:
        journal = msgspec.msgpack.decode(data, type=Journal)
        addresses = {target.address: ipaddress.ip_address(target.address) for target in journal.targets}
    except (msgspec.DecodeError, ValueError) as error:
        raise ScanError(f"{path} is no journal of a scan", where="--resume", mend="begin the scan anew") from error
    if journal.form != FORM:
        raise ScanError(f"{path} was written by another version", where="--resume", mend="begin the scan anew")
    for text, address in addresses.items():
        check_address(address, text, permitted=journal.request.permitted)
    if not addresses.keys() >= {host.address for host in journal.hosts}:
        raise ScanError(f"{path} has hosts that were not asked for", where="--resume", mend="begin the scan anew")
    return journal


class Writer:
    """Writes the journal each second; a file that cannot be written is told of once and the scan goes on."""

    def __init__(self, path: Path | None, clock: Callable[[], float], warn: Callable[[str], None]) -> None:
        self.path = path
        self._clock = clock
        self._warn = warn
        self._written = clock()

    def due(self) -> bool:
        """Whether a second has passed since the last one."""
        return self.path is not None and self._clock() - self._written >= EVERY_S

    def write(self, journal: Journal) -> bool:
        """Write it now; whether it is on disk."""
        self._written = self._clock()
        if self.path is None:
            return False
        try:
            write(self.path, journal)
        except OSError as error:
            self._warn(f"cannot write the journal {self.path}: {error.strerror}; this scan cannot be resumed")
            self.path = None
            return False
        return True

    def remove(self) -> None:
        """The scan is complete: there is nothing to resume."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
