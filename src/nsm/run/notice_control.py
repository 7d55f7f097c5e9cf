"""What the supervisor has to do with messages: is a notifier needed, what is it given, questions passed on to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import QueryError, ServiceError
from nsm.run.control import NOTIFY_S
from nsm.run.links import NOTIFY, Splitter, socket_path
from nsm.run.notice_channels import Sections, outlets, values_of
from nsm.run.transport import encode

NOTIFY_KINDS: Final = ("notify", "notify_test")


def notify_wanted(settings: Sections) -> bool:
    """Is a channel set? SettingsError when its settings, or a secret that they name, cannot be used."""
    return bool(outlets(values_of(settings)))


def refuse_without_mail(values: Mapping[str, Any], *, demo: bool = False) -> None:
    """QueryError when these settings (key -> value) have no mail server, so that a mail would wait for ever."""
    if demo:
        raise QueryError("the demo sends no mail", where="mail", mend="nsm run")
    if not values.get("notify.mail.host"):
        raise QueryError("no mail channel is set, so that the report cannot be mailed", where="mail",
                         mend="nsm config set notify.mail.host, notify.mail.sender and notify.mail.to")  # fmt: skip


def notify_task(settings: Sections) -> dict[str, Any]:
    """What the notifier is told at its start, secrets included: it goes through a pipe, not over a command line."""
    return {"notify": msgspec.to_builtins(settings.section("notify")), "channels": values_of(settings)}


async def ask_notifier(runtime: Path, kind: str, header: dict[str, Any]) -> dict[str, Any]:
    """The notifier's answer; without one there are no channels."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path(runtime, NOTIFY))
    except OSError as error:
        if kind == "notify":
            return {"channels": []}
        raise ServiceError(
            "no channel for messages is set, or the notifier is not up", where="notifier", mend="nsm config show notify"
        ) from error
    try:
        async with asyncio.timeout(NOTIFY_S):
            writer.write(encode(kind, header))
            splitter = Splitter()
            while data := await reader.read(1 << 16):
                for message in splitter.feed(data):
                    return message.header
    except (OSError, TimeoutError) as error:
        raise ServiceError("the notifier does not answer", where="notifier", mend="nsm status") from error
    finally:
        writer.close()
    raise ServiceError("the notifier went away while it was asked", where="notifier", mend="nsm status")
