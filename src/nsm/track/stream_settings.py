"""What a person can set about reading what is said in flows, and what a run decides of it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from nsm.settings.section import SettingsSection


class StreamSettings(msgspec.Struct, frozen=True):
    """What of the conversations is read, and how much memory that may take."""

    enabled: bool = True
    """Read what is said inside flows: names, pages, certificates, files. Off: flows and packets alone."""
    memory_mb: Annotated[int, msgspec.Meta(ge=8, le=65_536)] = 256
    """Of one worker, for conversations under way; beyond, the oldest are given up and counted."""
    hashes: tuple[str, ...] = ("sha256",)
    """Hashes of files: md5, sha1, sha256. None: only the first bytes of a file are looked at."""


SETTINGS: Final = SettingsSection(name="stream", struct=StreamSettings)


class StreamOptions(msgspec.Struct, frozen=True):
    """What a run decides. ``kinds`` None: all event types. ``options``: "<protocol or kind>.<name>" -> value."""

    midstream: bool = True
    rows: bool = False
    acked: bool = False
    """Bytes are read when their receiver has acknowledged them, not when they come."""
    failed: bool = False
    """A flow whose protocol nobody knows is said to be "failed", and one whose sides look different is said to be odd."""
    kinds: tuple[str, ...] | None = None
    options: dict[str, Any] = {}
    hashes: tuple[str, ...] = ("sha256",)
    stored: bool = False
    off: tuple[str, ...] = ()
    """Protocols that are not even recognised: by name, or on one transport alone ("dns/udp")."""
    only: frozenset[str] | None = None
    """Protocols that are looked for; None: all."""
    named: tuple[str, ...] = ()
    """Protocols that are recognised and not parsed."""
    ethernet: bool = False
    """Records tell the hardware addresses of their flow."""
