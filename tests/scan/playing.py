"""Plays the other side of a talk from what was recorded: turns of (what was sent, what came back)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, Talk
from nsm.model.scan import Service
from nsm.scan.fingerprint import all_services

DATA = Path(__file__).parents[1] / "data" / "scan"
PLACE = Place(address="192.0.2.7", port=7)
STEPS_MAX = 20_000


def recorded() -> dict[str, dict[str, Any]]:
    """File name -> what was recorded."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DATA.glob("*.json"))}


def play(talk: Talk, turns: list[bytes], piece: int = 1 << 20, end: int | None = None) -> Service | None:
    """Hold a talk against answers, the first of which comes before anything is sent, in pieces of so many bytes.

    ``end``: the other side closes after so many bytes of its first answer that has them.
    """
    left = list(turns)
    pending = left.pop(0) if left else b""
    closed = False
    try:
        send = next(talk)
        for _ in range(STEPS_MAX):
            if send and left and not closed:
                pending += left.pop(0)
            if end is not None and not closed:
                pending, closed = pending[:end], len(pending) >= end
            got, pending = pending[:piece], pending[piece:]
            send = talk.send(got)
    except StopIteration as done:
        found: Service | None = done.value
        return found
    except MalformedError:
        return None
    raise AssertionError("the talk does not end")


def held(key: str, *turns: bytes, place: Place = PLACE) -> Service | None:
    """What a service's talk makes of these answers."""
    return play(all_services()[key].talk(place), list(turns))
