"""Channels of messages: how they are, and a test of each."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path

from nsm.serve.answers import Answer, Ok
from nsm.serve.depends import Admin, Uses
from nsm.serve.problems import documented

SPEC: Final = APIRouter(prefix="/api/v1", tags=["notify"])

Name = Annotated[str, Path(min_length=1, max_length=64)]


class Channel(Answer):
    """A channel: its messages by state, when one last arrived (s UTC), the last error, and what to say when it is broken."""

    name: str
    kind: str
    state: Literal["untried", "works", "failing", "hangs"]
    failures: int
    error: str
    sent: float | None
    counts: dict[str, int]
    outage: str


class Channels(Answer):
    """All channels."""

    items: list[Channel]


@SPEC.get("/notify")
async def channels(use: Uses, _session: Admin) -> Channels:
    """Channels that are set, each with its state, its messages by state, when one last arrived, and the last error."""
    return {"items": (await use.control.notify())["channels"]}


@SPEC.post("/notify/{name}/test", responses=documented(502))
async def test(name: Name, use: Uses, session: Admin) -> Ok:
    """Send a test message now; the problem says why it did not arrive."""
    await asyncio.to_thread(use.accounts.audit, session.name, "channel tested", name)
    await use.control.test_channel(name)
    return {"ok": True}
