"""Times as people write and read them: ``24h``, RFC 3339, ``yesterday 14:00``; and rows made ready to be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from nsm.errors import QueryError
from nsm.store.catalog import Field

US: Final = 1_000_000
_EXAMPLES: Final = "for example 2026-11-21T14:00:00Z, 2026-11-21 14:00, 14:00, yesterday 14:00"
_DAY_WORDS: Final = {"today": 0, "yesterday": 1}
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def span_us(last: str | None, start: str | None, stop: str | None, now_us: int) -> tuple[int | None, int | None]:
    """(start, stop) of the options ``--last``, ``--from`` and ``--to``; None is open. QueryError when malformed."""
    if last is not None:
        if start is not None or stop is not None:
            raise QueryError("--last and --from or --to exclude each other")
        match = re.fullmatch(r"(\d{1,6})([smhdw])", last.strip())
        if match is None:
            raise QueryError(f"not a duration: {last!r}", mend="for example 30s, 5m, 24h, 7d, 2w")
        return now_us - int(match[1]) * _UNITS[match[2]] * US, None
    first, end = (None if text is None else moment_us(text, now_us) for text in (start, stop))
    if first is not None and end is not None and first >= end:
        raise QueryError("--from is not before --to")
    return first, end


def moment_us(text: str, now_us: int, zone: tzinfo | None = None) -> int:
    """Microseconds of a time; one without a zone is local, one without a date is of today."""
    now = datetime.fromtimestamp(now_us / US, zone or UTC).astimezone(zone)
    value = text.strip()
    if value == "now":
        return now_us
    word, _, rest = value.partition(" ")
    if word in _DAY_WORDS:
        day = (now - timedelta(days=_DAY_WORDS[word])).date().isoformat()
        value = f"{day}T{rest or '00:00'}"
    elif re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", value):
        value = f"{now.date().isoformat()}T{value.zfill(5) if value.count(':') == 1 else value.zfill(8)}"
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError as error:
        raise QueryError(f"not a time: {text!r}", mend=_EXAMPLES) from error
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=zone) if zone else parsed.astimezone()
    return round(parsed.timestamp() * US)


def time_text(us: int, *, local: bool = False) -> str:
    """RFC 3339 with microseconds: UTC, or local with its offset."""
    moment = datetime.fromtimestamp(us // US, UTC).replace(microsecond=us % US)
    if local:
        return moment.astimezone().isoformat(sep=" ", timespec="milliseconds")
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def shown(
    rows: Iterable[Mapping[str, Any]],
    fields: Mapping[str, Field],
    *,
    local: bool = False,
    interfaces: Mapping[int, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows with times as text, numbers with names as their names, and interfaces by name."""
    times = {"ts", "t", "first_seen", "last_seen", "ended"}
    words = {name: field.words for name, field in fields.items() if field.words}
    if interfaces:
        words["iface"] = interfaces
    for row in rows:
        out = dict(row)
        for name, value in row.items():
            if name in times and isinstance(value, int):
                out[name] = None if name == "ended" and not value else time_text(value, local=local)
            elif name in words and value is not None:
                out[name] = words[name].get(value, value)
        yield out
