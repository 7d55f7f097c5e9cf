"""SettingsSection: what a part of the system declares beside its code.

A part has a frozen ``msgspec.Struct`` with a default for every field and a string under each field that says
what it does, and beside it ``SETTINGS = SettingsSection(name="flow", struct=FlowSettings)``. Key of a field:
section, dot, field. Fields of the type ``Secret`` may hold ``file:/path`` or ``env:NAME`` and are never shown.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]

# Bounds of numbers, such that sums of them in nanoseconds fit in 64 bits; a part with closer ones writes its own.
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
Age = Annotated[int, msgspec.Meta(ge=0, le=36_500)]  # days or hours
Duration = Annotated[float, msgspec.Meta(ge=0, le=876_000)]  # hours or minutes
Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_536_000)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Factor = Annotated[float, msgspec.Meta(ge=0, le=1_000)]

SECRET_REFERENCES: Final = ("file:", "env:")


class SettingsSection(msgspec.Struct, frozen=True):
    """A named group of settings; ``struct`` has the fields with their defaults."""

    name: str
    struct: type[msgspec.Struct]


class SettingsField(msgspec.Struct, frozen=True):
    """One setting. ``key`` is section, dot, name; ``type`` is what msgspec converts to."""

    key: str
    section: str
    name: str
    type: Any
    default: Any
    secret: bool


def fields_of(section: SettingsSection) -> tuple[SettingsField, ...]:
    """The settings of a section in the order of the code; ValueError for a field without a default."""
    found = []
    for field in msgspec.structs.fields(section.struct):
        if field.required:
            raise ValueError(f"{section.struct.__name__}.{field.name} has no default")
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        key = f"{section.name}.{field.name}"
        found.append(SettingsField(key, section.name, field.name, field.type, default, _is_secret(field.type)))
    return tuple(found)


def _is_secret(kind: Any) -> bool:
    return any((getattr(item, "extra", None) or {}).get("secret") for item in getattr(kind, "__metadata__", ()))
