"""Session descriptions as EVE's sip.sdp object. RFC 8866, section 5."""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Record
from nsm.wire.dns_message import text

LINES_MAX: Final = 512  # ours: of a description that are read


class Time(Record):
    """A time description."""

    time: str
    repeat_time: str | None = None


class Media(Record):
    """A media description."""

    media: str
    media_info: str | None = None
    bandwidths: list[str] | None = None
    connection_data: str | None = None
    encryption_key: str | None = None
    attributes: list[str] | None = None


class Sdp(Record):
    """A session description."""

    version: int | None = None
    origin: str | None = None
    session_name: str | None = None
    session_info: str | None = None
    uri: str | None = None
    email: str | None = None
    phone_number: str | None = None
    connection_data: str | None = None
    bandwidths: list[str] | None = None
    time_descriptions: list[Time] | None = None
    timezone: str | None = None
    encryption_key: str | None = None
    attributes: list[str] | None = None
    media_descriptions: list[Media] | None = None


SESSION_LETTERS: Final = frozenset("osiuepczk")  # RFC 8866, section 5: lines that stand once in a session


def _media(lines: list[tuple[str, str]]) -> Media:
    one = {letter: value for letter, value in lines if letter in "ick"}
    bandwidths = [value for letter, value in lines if letter == "b"]
    attributes = [value for letter, value in lines if letter == "a"]
    return Media(lines[0][1], one.get("i"), bandwidths or None, one.get("c"), one.get("k"), attributes or None)


def _times(lines: list[tuple[str, str]]) -> list[Time]:
    found: list[Time] = []
    for letter, value in lines:
        if letter == "t":
            found.append(Time(value))
        elif letter == "r" and found:
            found[-1] = Time(found[-1].time, value)
    return found


def parse(body: bytes) -> Sdp | None:
    """The description, None when the first line is not its version."""
    if not body.startswith(b"v="):
        return None
    lines: list[tuple[str, str]] = []
    for raw in body.split(b"\n", LINES_MAX)[:LINES_MAX]:
        line = text(raw.rstrip(b"\r"))
        if len(line) > 1 and line[1] == "=":
            lines.append((line[0], line[2:]))
    media = [at for at, (letter, _) in enumerate(lines) if letter == "m"]
    session = lines[: media[0]] if media else lines
    one: dict[str, str] = {}
    for letter, value in session:
        if letter in SESSION_LETTERS:
            one.setdefault(letter, value)
    version = lines[0][1]
    ends = [*media[1:], len(lines)]
    return Sdp(
        int(version) if version.isdecimal() and len(version) < 6 else None,
        one.get("o"),
        one.get("s"),
        one.get("i"),
        one.get("u"),
        one.get("e"),
        one.get("p"),
        one.get("c"),
        [value for letter, value in session if letter == "b"] or None,
        _times(session) or None,
        one.get("z"),
        one.get("k"),
        [value for letter, value in session if letter == "a"] or None,
        [_media(lines[first:end]) for first, end in zip(media, ends, strict=False)] or None,
    )
