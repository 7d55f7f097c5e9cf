"""Settings of the running service: what is in effect and where it is from; changed by an administrator."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path
from pydantic import Field, JsonValue

from nsm.serve.answers import Answer
from nsm.serve.depends import Admin, Body, Uses

SPEC: Final = APIRouter(prefix="/api/v1", tags=["settings"])
TEXT_MAX: Final = 4_000  # ours: the longest value is a capture filter

Key = Annotated[str, Path(min_length=3, max_length=120, pattern=r"^[a-z0-9_.]+$")]


class SettingField(Answer):
    """One setting. ``schema``: JSON Schema of its value; secrets are masked. ``origin``: default, file, page, environment, flag.

    ``on_page``: set here; ``waits``: kept, but in effect only when the service starts again.
    """

    key: str
    about: str
    schema: dict[str, Any]
    value: JsonValue
    default: JsonValue
    origin: str
    secret: bool
    waits: bool
    on_page: bool


class SettingSection(Answer):
    """Settings of one part. ``effect``: the process that a change starts anew, "next job" or "next start"."""

    name: str
    about: str
    effect: str
    fields: list[SettingField]


class SettingSections(Answer):
    """All of them."""

    items: list[SettingSection]


class SettingsChanged(Answer):
    """All of them after a change, and where or when it takes effect."""

    items: list[SettingSection]
    effect: str


class Change(Body):
    """A value of the type that the setting's schema says."""

    value: (
        bool
        | int
        | float
        | Annotated[str, Field(max_length=TEXT_MAX)]
        | Annotated[list[int | Annotated[str, Field(max_length=TEXT_MAX)]], Field(max_length=1_000)]
    )


@SPEC.get("/settings")
async def settings(use: Uses, _session: Admin) -> SettingSections:
    """Every setting by section, with default, value and origin."""
    return {"items": (await use.control.settings())["settings"]}


@SPEC.put("/settings/{key}")
async def change(key: Key, body: Change, use: Uses, session: Admin) -> SettingsChanged:
    """Set one; it is checked as at a start, kept, and in effect as the answer says."""
    return await _change(use, session.name, key, body.value)


@SPEC.delete("/settings/{key}")
async def revert(key: Key, use: Uses, session: Admin) -> SettingsChanged:
    """Take back what was set on the page: file and default hold again."""
    return await _change(use, session.name, key, None)


async def _change(use: Uses, who: str, key: str, value: Any) -> SettingsChanged:
    made = await use.control.change_setting(key, value)
    shown = "back to file and default" if value is None else msgspec.json.encode(value).decode()[:200]
    await asyncio.to_thread(use.accounts.audit, who, "setting changed", f"{key}: {shown}")
    return {"items": made["settings"], "effect": made["effect"]}
