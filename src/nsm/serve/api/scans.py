"""Port scans of the service: start, list, look at, compare."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from nsm.model.scan import Scan
from nsm.scan.difference import difference
from nsm.serve.auth import check_bold_scan
from nsm.serve.depends import Analyst, Limit, Reads, Uses
from nsm.serve.problems import NotFoundError

SPEC: Final = APIRouter(prefix="/api/v1", tags=["scans"])

Target = Annotated[str, Field(min_length=1, max_length=253)]


class NewScan(BaseModel):
    """What to scan. ``permitted``: the owner of addresses outside the private networks allows it; that needs an admin."""

    targets: Annotated[list[Target], Field(min_length=1, max_length=100)]
    ports: str = Field(default="", max_length=4_000)
    udp: bool = False
    rate: int | None = Field(default=None, ge=0, le=20_000)
    method: Literal["", "syn", "connect"] = ""
    discovery: bool = True
    permitted: bool = False
    large: bool = False
    checks: Annotated[list[str], Field(max_length=20)] = []


@SPEC.get("/scans")
def scans(use: Uses, _session: Reads, limit: Limit = 50) -> dict[str, Any]:
    """Scans, the newest first, without their ports."""
    return {
        "items": [
            {**msgspec.to_builtins(one), "started": one.started / 1e6, "ended": one.ended / 1e6}
            for one in use.scans.scans(limit)
        ]
    }


@SPEC.post("/scans")
async def start(body: NewScan, use: Uses, session: Analyst) -> dict[str, int]:
    """Start a scan, or let it wait for its turn; the number of its job."""
    check_bold_scan(session, body.model_dump())
    name = ", ".join(body.targets)[:200]
    number = await use.control.job("scan", name, body.model_dump(), session.name)
    detail = f"job {number} {name} ports {body.ports or 'default'} permitted {body.permitted}"
    await asyncio.to_thread(use.accounts.audit, session.name, "scan started", detail)
    return {"job": number}


@SPEC.get("/scans/{scan_id}")
def scan(scan_id: str, use: Uses, _session: Reads) -> dict[str, Any]:
    """One scan with hosts and ports, and what changed since those before it."""
    found = _found(use, scan_id)
    changes = difference(found, use.scans.complete_before(found.started))
    whole: dict[str, Any] = msgspec.to_builtins(found)
    return {
        **whole, "started": found.started / 1e6, "ended": found.ended / 1e6, "changes": msgspec.to_builtins(changes),
    }  # fmt: skip


@SPEC.delete("/scans/{scan_id}")
def remove(scan_id: str, use: Uses, session: Analyst) -> dict[str, bool]:
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
