"""Settings from all their sources, weakest first: defaults, file, page, environment, flags.

A key is section, dot, field. In the environment it is ``NSM_`` and the key in capitals with two underscores
for each dot: ``NSM_DETECT__PORT_SCAN__PORTS_MIN``. Every value remembers where it is from.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import SettingsError
from nsm.settings.section import SECRET_REFERENCES, SettingsField, SettingsSection, fields_of
from nsm.settings.sources import flatten, line_of, parse, read_text

ENVIRONMENT_PREFIX: Final = "NSM_"
MASK: Final = "********"
PAGE: Final = "page"
STRONGER: Final = ("environment", "flag")  # origins that the page cannot outdo
SECRET_BYTES_MAX: Final = 64 * 1024  # ours: a certificate chain fits


class Settings:
    """All settings with their effective values. Made by ``load``; does not change."""

    def __init__(self, sections: Iterable[SettingsSection]) -> None:
        self._sections = {section.name: section for section in sections}
        self._fields = {field.key: field for section in self._sections.values() for field in fields_of(section)}
        self._given: dict[str, tuple[Any, str]] = {}  # key -> value, origin
        self._below: dict[str, tuple[Any, str]] = {}  # what the file says of keys that the page sets

    @property
    def fields(self) -> Mapping[str, SettingsField]:
        """Key -> declaration of every setting."""
        return self._fields

    def struct_of(self, name: str) -> type[msgspec.Struct]:
        """What a section is an instance of; KeyError for an undeclared one."""
        return self._sections[name].struct

    def section(self, name: str) -> Any:
        """The settings of one section, as an instance of its struct; secrets are resolved.

        SettingsError when the values do not go together or a secret cannot be read; KeyError for an
        undeclared section.
        """
        struct = self._sections[name].struct
        prefix = f"{name}."
        values = {
            key.removeprefix(prefix): self._resolved(self._fields[key])
            for key in self._given
            if self._fields[key].section == name
        }
        try:
            return struct(**values)
        except (ValueError, msgspec.ValidationError) as error:  # raised by the struct's own __post_init__
            origins = sorted({origin for key, (_, origin) in self._given.items() if self._fields[key].section == name})
            raise SettingsError(f"{name}: {error}", where=", ".join(origins), mend=f"nsm config show {name}") from error

    def value(self, key: str) -> Any:
        """The effective value of one setting, a secret as it was written; KeyError for an unknown key."""
        field = self._fields[key]
        return self._given[key][0] if key in self._given else field.default

    def values(self) -> dict[str, Any]:
        """Key -> effective value as plain data (lists, numbers, texts); secrets written out are masked."""
        return {key: self._shown(field) for key, field in sorted(self._fields.items())}

    def origin(self, key: str) -> str:
        """Where the value is from: "default", "file PATH line N", "page", "environment NAME", "flag"."""
        self._fields[key]  # KeyError for an unknown key
        return self._given[key][1] if key in self._given else "default"

    def with_page(self, key: str, value: Any) -> Settings:
        """The settings with one of them set on the page, or given back to file and default (``value`` None).

        SettingsError for an unknown key, a wrong value, one that does not go together with others, or when environment
        or flags, which are stronger, say another.
        """
        if key not in self._fields:
            raise unknown_key(key, self._fields, "page")
        origin = self.origin(key)
        if origin.startswith(STRONGER):
            raise SettingsError(
                f"{key} is set by {origin}, which is stronger than the page", where=key, mend="change it there"
            )
        changed = Settings(self._sections.values())
        changed._given, changed._below = dict(self._given), dict(self._below)
        below = changed._below.pop(key, None) if origin == PAGE else changed._given.get(key)
        changed._given.pop(key, None)
        if below is not None:
            changed._given[key] = below
        if value is not None:
            changed._add(key, value, PAGE, as_text=False)
        changed.section(self._fields[key].section)
        return changed

    def hash(self) -> str:
        """16 hex digits over all effective values: two runs with the same hash had the same settings."""
        return hashlib.sha256(msgspec.json.encode(self.values(), order="sorted")).hexdigest()[:16]

    def check(self) -> None:
        """SettingsError for the first section whose values do not go together."""
        for name in self._sections:
            self.section(name)

    def _shown(self, field: SettingsField) -> Any:
        value = self.value(field.key)
        if field.secret and value and not str(value).startswith(SECRET_REFERENCES):
            return MASK
        return msgspec.to_builtins(value)

    def _resolved(self, field: SettingsField) -> Any:
        value, origin = self._given[field.key]
        return _secret(field.key, value, origin) if field.secret else value

    def _add(self, key: str, value: Any, origin: str, *, as_text: bool) -> None:
        field = self._fields.get(key)
        if field is None:
            raise unknown_key(key, self._fields, origin)
        converted = _converted(field, value, origin, as_text=as_text)
        if origin == PAGE and key in self._given:
            self._below[key] = self._given[key]
        self._given[key] = (converted, origin)


def load(
    sections: Iterable[SettingsSection],
    *,
    file: Path | None = None,
    page: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of ``sections``; SettingsError for the first unknown key or wrong value.

    ``page`` and ``flags`` map keys to values. Texts from the environment and from flags are read as the
    type of their field: ``true``, ``30``, ``10.0.0.0/8,192.168.0.0/16``.
    """
    settings = Settings(sections)
    if file is not None:
        text = read_text(file)
        _add_file(settings, file, text)
    for key, value in (page or {}).items():
        if key in settings.fields:  # an older version may have known more; its page value must not stop this one
            settings._add(key, value, PAGE, as_text=False)
    for key, value, name in environment_values(environ):
        settings._add(key, value, f"environment {name}", as_text=True)
    for key, value in (flags or {}).items():
        settings._add(key, value, "flag", as_text=isinstance(value, str))
    return settings


def load_text(sections: Iterable[SettingsSection], path: Path, text: str) -> Settings:
    """The settings as a file with this text would make them, alone: checked before it is written."""
    settings = Settings(sections)
    _add_file(settings, path, text)
    settings.check()
    return settings


def _add_file(settings: Settings, path: Path, text: str) -> None:
    names = frozenset(field.section for field in settings.fields.values())
    for key, value in flatten(parse(path, text), names):
        line = line_of(path, text, key)
        settings._add(key, value, f"file {path} line {line}" if line else f"file {path}", as_text=False)


def environment_values(environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(key, text, name of the variable) of every setting in the environment; NSM_CONFIG and its like are none."""
    found = []
    for name in sorted(environ):
        path = name.removeprefix(ENVIRONMENT_PREFIX)
        if path != name and "__" in path.strip("_"):
            found.append((path.replace("__", ".").lower(), environ[name], name))
    return found


def unknown_key(key: str, known: Iterable[str], origin: str) -> SettingsError:
    """The error for a key that nobody declared, with the nearest one that somebody did."""
    names = list(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    if not near:  # the same field name in another section is the next best guess
        near = [name for name in names if name.rpartition(".")[2] == key.rpartition(".")[2]][:1]
    mend = f"did you mean {near[0]}?" if near else "nsm config show   lists every setting"
    return SettingsError(f"unknown setting {key}", where=origin, mend=mend)


def _converted(field: SettingsField, value: Any, origin: str, *, as_text: bool) -> Any:
    try:
        if as_text:
            return from_text(str(value), field.type)
        return msgspec.convert(value, field.type)
    except (msgspec.ValidationError, ValueError) as error:
        reason = str(error).replace(" - at `$`", "")
        default = MASK if field.secret else msgspec.json.encode(field.default).decode()
        raise SettingsError(f"{field.key}: {reason}", where=origin, mend=f"the default is {default}") from error


def from_text(text: str, kind: Any) -> Any:
    """A text as a value of the type ``kind``; lists by commas or as JSON. ValueError when it is none."""
    if text[:1] in {"[", "{"}:
        return msgspec.convert(msgspec.json.decode(text), kind)
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        if "array" not in str(msgspec.json.schema(kind).get("type", "")):
            raise
    return msgspec.convert([part.strip() for part in text.split(",") if part.strip()], kind, strict=False)


def _secret(key: str, value: str, origin: str) -> str:
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        if name not in os.environ:
            raise SettingsError(f"{key}: the environment has no {name}", where=origin, mend=f"export {name}=...")
        return os.environ[name]
    if value.startswith("file:"):
        path = value.removeprefix("file:")
        try:
            with Path(path).open(encoding="utf-8") as file:
                return file.read(SECRET_BYTES_MAX).strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise SettingsError(f"{key}: cannot read {path}: {reason}", where=origin) from error
    return value
