"""The settings of a running service: what is in effect, and what a person changes on the page.

A change is checked as a start would check it, kept, and in effect when the processes that it concerns were started anew.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.capture.packet_socket import link_of, live_filter
from nsm.capture.settings import CaptureSettings
from nsm.errors import NsmError, SettingsError
from nsm.output.eve_file import EveFile, EveFileSettings
from nsm.run.notice_control import notify_wanted
from nsm.serve.settings import tls_context
from nsm.settings.document import field_texts
from nsm.settings.load import MASK, PAGE, Settings
from nsm.settings.section import SECRET_REFERENCES, SettingsField
from nsm.store.page_settings import PageSettings

NEXT_JOB: Final = "next job"
NEXT_START: Final = "next start"
EFFECTS: Final = {
    "alert": "analyst", "detect": "analyst", "output": "analyst", "capture": "capture", "decode": "capture", "flow": "capture",
    "stream": "capture",
    "health": "health", "notify": "notifier", "store": "store", "report": NEXT_JOB, "scan": NEXT_JOB,
    "serve": NEXT_START, "captures": NEXT_START,
}  # fmt: skip
"""First word of a section -> the process that is started anew, or when a change takes effect."""


def effect_of(section: str) -> str:
    """Where, or when, a change of that section takes effect."""
    return EFFECTS.get(section.partition(".")[0], NEXT_START)


def check_capture(settings: CaptureSettings) -> None:
    """Raise CaptureError for what cannot become right by itself: a name that no interface has, a filter with a typo."""
    for name in settings.interfaces:
        link = link_of(name)
        if settings.filter:
            live_filter(settings.filter, link)


def check_eve_file(settings: EveFileSettings) -> None:
    """Raise SinkError when the file of events cannot be written by the user that the service runs as."""
    if settings.path:
        EveFile(settings).close()


class LiveSettings:
    """Lives in the supervisor; ``now`` are the settings in effect."""

    def __init__(self, settings: Settings, data: Path) -> None:
        self.now = settings
        self._started = settings
        self._kept = PageSettings(data)

    def close(self) -> None:
        """Close what is kept."""
        self._kept.close()

    def change(self, key: str, value: Any) -> str:
        """Set one on the page, None gives it back; what ``effect_of`` says. NsmError when a start with it would fail."""
        changed = self.now.with_page(key, value)
        field = changed.fields[key]
        if field.secret and value and not str(value).startswith(SECRET_REFERENCES):
            raise SettingsError(
                f"{key} is a secret, which is not kept here", where=key,
                mend=f"name where it is: {' or '.join(f'{start}...' for start in SECRET_REFERENCES)}",
            )  # fmt: skip
        check = _CHECKS.get(field.section.partition(".")[0])
        try:
            if check is not None:
                check(changed)
        except NsmError as error:
            raise SettingsError(str(error), where=key, mend=error.mend) from error
        self._kept.set(key, value)
        self.now = changed
        return effect_of(field.section)

    def shapes(self) -> list[dict[str, Any]]:
        """Every section: {name, about, effect, fields}; a field as ``_field`` says."""
        sections: dict[str, dict[str, Any]] = {}
        values = self.now.values()
        for field in self.now.fields.values():
            struct = self.now.struct_of(field.section)
            entry = sections.setdefault(
                field.section,
                {
                    "name": field.section,
                    "about": (struct.__doc__ or "").replace("``", ""),
                    "effect": effect_of(field.section),
                    "fields": [],
                },
            )
            entry["fields"].append(self._field(field, values[field.key], _texts(struct).get(field.name, "")))
        return [sections[name] for name in sorted(sections)]

    def _field(self, field: SettingsField, value: Any, about: str) -> dict[str, Any]:
        """{key, about, schema (JSON Schema), value, default, origin, secret, waits: kept, but not in effect yet}."""
        default = MASK if field.secret and field.default else msgspec.to_builtins(field.default)
        waits = effect_of(field.section) == NEXT_START and self.now.value(field.key) != self._started.value(field.key)
        return {
            "key": field.key, "about": about.replace("``", ""), "schema": _schema(field), "value": value, "default": default,
            "origin": self.now.origin(field.key), "secret": field.secret, "waits": waits,
            "on_page": self.now.origin(field.key) == PAGE,
        }  # fmt: skip


_CHECKS: Final[dict[str, Callable[[Settings], object]]] = {
    "capture": lambda settings: check_capture(settings.section("capture")),
    "output": lambda settings: check_eve_file(settings.section("output.eve_file")),
    "notify": notify_wanted,
    "serve": lambda settings: tls_context(settings.section("serve")),
}


@functools.cache
def _texts(struct: type[msgspec.Struct]) -> dict[str, str]:
    return field_texts(struct)


def _schema(field: SettingsField) -> dict[str, Any]:
    """The type as JSON Schema, its definitions in place."""
    schema = msgspec.json.schema(field.type)
    definitions = schema.pop("$defs", {})
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    return schema
