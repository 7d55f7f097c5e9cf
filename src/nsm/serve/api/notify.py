"""Channels of messages: how they are, and a test of each."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path

from nsm.serve.depends import Admin, Uses

SPEC: Final = APIRouter(prefix="/api/v1", tags=["notify"])

Name = Annotated[str, Path(min_length=1, max_length=64)]


@SPEC.get("/notify")
async def channels(use: Uses, _session: Admin) -> dict[str, Any]:
    """Channels that are set, each with its state, its messages by state, when one last arrived, and the last error."""
    return {"items": (await use.control.notify())["channels"]}


@SPEC.post("/notify/{name}/test")
async def test(name: Name, use: Uses, session: Admin) -> dict[str, bool]:
    """Send a test message now; the problem says why it did not arrive."""
    await asyncio.to_thread(use.accounts.audit, session.name, "channel tested", name)
    await use.control.test_channel(name)
    return {"ok": True}
