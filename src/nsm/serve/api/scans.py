"""Port scans of the service: start, list, look at, compare."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, Literal, NotRequired, cast

import msgspec
from fastapi import APIRouter
from pydantic import Field

from nsm.model.scan import Scan
from nsm.scan.difference import difference
from nsm.serve.answers import Answer, JobNumber, Ok, Severity
from nsm.serve.auth import check_bold_scan
from nsm.serve.depends import Analyst, Body, Limit, Reads, Uses
from nsm.serve.problems import NotFoundError, documented

SPEC: Final = APIRouter(prefix="/api/v1", tags=["scans"])

Target = Annotated[str, Field(min_length=1, max_length=253)]


class NewScan(Body):
    """What to scan. ``permitted``: the owner of addresses outside the private networks allows it; that needs an admin."""

    targets: Annotated[list[Target], Field(min_length=1, max_length=100)]
    ports: str = Field(default="", max_length=4_000)
    udp: bool = False
    rate: int | None = Field(default=None, ge=0, le=20_000)
    method: Literal["", "syn", "connect"] = ""
    discovery: bool = True
    permitted: bool = False
    large: bool = False
    checks: Annotated[list[str], Field(max_length=20)] = Field(default=[])


class ScanSummary(Answer):
    """A scan in a list: without its ports; times in s UTC."""

    id: str
    started: float
    ended: float
    state: str
    who: str
    targets: list[str]
    ports: str
    hosts: int
    open: int


class Scans(Answer):
    """Scans, the newest first."""

    items: list[ScanSummary]


class Risk(Answer):
    """A known weakness in plain words."""

    id: str
    severity: Severity
    title: str
    why: str
    mend: str


class Service(Answer):
    """What speaks on a port, as ``nsm.model.scan.Service``; what is not known is left out."""

    name: str
    product: NotRequired[str]
    version: NotRequired[str]
    how: NotRequired[str]
    confidence: NotRequired[float]
    tls: NotRequired[bool]
    banner: NotRequired[str]
    details: NotRequired[dict[str, str]]
    risks: NotRequired[list[Risk]]


class ScannedPort(Answer):
    """One port of one address, as ``nsm.model.scan.ScannedPort``."""

    address: str
    proto: str
    port: int
    state: str
    reason: NotRequired[str]
    ttl: NotRequired[int]
    tries: NotRequired[int]
    rtt_ms: NotRequired[float]
    service: NotRequired[Service]


class ScannedHost(Answer):
    """A target that is up, as ``nsm.model.scan.ScannedHost``."""

    address: str
    name: NotRequired[str]
    mac: NotRequired[str]
    up_by: NotRequired[str]
    rtt_ms: NotRequired[float]
    os_hint: NotRequired[str]
    counts: NotRequired[dict[str, int]]


class PortChange(Answer):
    """One difference to the scan ``since``."""

    what: str
    address: str
    text: str
    since: str
    proto: NotRequired[str]
    port: NotRequired[int]
    before: NotRequired[Service]
    after: NotRequired[Service]


class ScanWhole(Answer):
    """A scan, as ``nsm.model.scan.Scan``, with times in s UTC and what changed since those before it."""

    id: str
    started: float
    ended: float
    targets: list[str]
    ports: str
    options: dict[str, str]
    state: str
    sent: NotRequired[int]
    answered: NotRequired[int]
    loss: NotRequired[float]
    covered: NotRequired[dict[str, str]]
    hosts: NotRequired[list[ScannedHost]]
    found: NotRequired[list[ScannedPort]]
    changes: list[PortChange]


@SPEC.get("/scans")
def scans(use: Uses, _session: Reads, limit: Limit = 50) -> Scans:
    """Scans, the newest first, without their ports."""
    found = [
        {**msgspec.to_builtins(one), "started": one.started / 1e6, "ended": one.ended / 1e6}
        for one in use.scans.scans(limit)
    ]
    return {"items": cast("list[ScanSummary]", found)}


@SPEC.post("/scans")
async def start(body: NewScan, use: Uses, session: Analyst) -> JobNumber:
    """Start a scan, or let it wait for its turn; the number of its job."""
    check_bold_scan(session, body.model_dump())
    name = ", ".join(body.targets)[:200]
    number = await use.control.job("scan", name, body.model_dump(), session.name)
    detail = f"job {number} {name} ports {body.ports or 'default'} permitted {body.permitted}"
    await asyncio.to_thread(use.accounts.audit, session.name, "scan started", detail)
    return {"job": number}


@SPEC.get("/scans/{scan_id}", responses=documented(404))
def scan(scan_id: str, use: Uses, _session: Reads) -> ScanWhole:
    """One scan with hosts and ports, and what changed since those before it."""
    found = _found(use, scan_id)
    changes = difference(found, use.scans.complete_before(found.started))
    whole = {
        **msgspec.to_builtins(found), "started": found.started / 1e6, "ended": found.ended / 1e6,
        "changes": msgspec.to_builtins(changes),
    }  # fmt: skip
    return cast("ScanWhole", whole)


@SPEC.delete("/scans/{scan_id}", responses=documented(404))
def remove(scan_id: str, use: Uses, session: Analyst) -> Ok:
    """Remove a scan from the store."""
    found = _found(use, scan_id)
    use.scans.remove(found.id)
    use.accounts.audit(session.name, "scan removed", found.id)
    return {"ok": True}


def _found(use: Uses, scan_id: str) -> Scan:
    found = use.scans.scan(scan_id)
    if found is None:
        raise NotFoundError(f"there is no scan {scan_id[:32]}", mend="it may have been removed")
    return found
