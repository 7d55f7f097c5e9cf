"""Which channels are set: discovered, with their settings. Used where they are started, tested and used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from nsm.model.discovery import specs
from nsm.model.interfaces import Channel, ChannelSpec


class Outlet(msgspec.Struct, frozen=True):
    """One endpoint: its name, how to open it, the settings and the kind of its channel."""

    name: str
    open: Callable[[], Channel]
    settings: Any
    spec: ChannelSpec


class Sections(Protocol):
    """Settings by section."""

    def section(self, name: str) -> Any:
        """The settings of one section."""


def found_specs() -> dict[str, ChannelSpec]:
    """Name -> SPEC of every kind of channel."""
    return specs("nsm.notify", "nsm.channels")


def values_of(settings: Sections) -> dict[str, dict[str, Any]]:
    """Name of the kind -> its settings as plain values, secrets read: for the task of a process. SettingsError for a wrong one."""
    return {name: msgspec.to_builtins(settings.section(f"notify.{name}")) for name in found_specs()}


def outlets(values: Mapping[str, Mapping[str, Any]]) -> list[Outlet]:
    """The endpoints that these settings name, by name."""
    found = []
    for name, spec in found_specs().items():
        settings = msgspec.convert(values.get(name, {}), spec.settings)
        found += [Outlet(label, opener, settings, spec) for label, opener in spec.channels(settings).items()]
    return sorted(found, key=lambda one: one.name)
