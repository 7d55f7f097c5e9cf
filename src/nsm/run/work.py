"""What a job is made of: its kind, and what its process says while it works.

A job's process reads its task from standard input and writes messages: ``progress`` and ``news`` as often as it likes,
then one ``done`` with a sentence and a result, or one ``fault``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from nsm.errors import NsmError
from nsm.run.child import begin, on_end
from nsm.run.transport import encode
from nsm.settings.load import Settings, load
from nsm.settings.section import SettingsSection


class JobSpec(msgspec.Struct, frozen=True):
    """A kind of job. ``check`` raises NsmError for a task that cannot be run, and gives it with defaults filled in.

    ``asked`` (task, what all jobs are given) raises NsmError for what the service, as it is set, can never do; people who
    ask are told, a schedule that comes due is not stopped by it. ``raw_sockets``: its process keeps CAP_NET_RAW.
    ``limit_s``: it is ended after that.
    """

    kind: str
    module: str
    check: Callable[[dict[str, Any]], dict[str, Any]]
    asked: Callable[[dict[str, Any], Mapping[str, Any]], None] | None = None
    raw_sockets: bool = False
    limit_s: float = 3_600.0


class Teller:
    """What a job may say while it works."""

    def __init__(self, say: Callable[[str, dict[str, Any]], None]) -> None:
        self._say = say

    def progress(self, header: dict[str, Any]) -> None:
        """How far it is."""
        self._say("progress", header)

    def news(self, kind: str, header: dict[str, Any]) -> None:
        """Something that the analyst has to know."""
        self._say("news", {"news": kind, **header})


def settings_of(task: Mapping[str, Any], sections: Sequence[SettingsSection]) -> Settings:
    """The effective settings of these sections, of a task of the service."""
    names = tuple(f"{section.name}." for section in sections)
    values = {key: value for key, value in task["values"].items() if key.startswith(names)}
    return load(tuple(sections), environ={}, flags=values)


Done = tuple[str, dict[str, Any]]
"""A sentence for a person, and what the kind has to say to programs."""


def run_job(name: str, work: Callable[[dict[str, Any], Teller], Done], stop: Callable[[], None]) -> None:
    """Entry of a job's process; ``stop`` is called when it is to end early."""
    task = begin(name)
    on_end(stop)

    def say(kind: str, header: dict[str, Any]) -> None:
        sys.stdout.buffer.write(encode(kind, header))
        sys.stdout.buffer.flush()

    try:
        text, result = work(task, Teller(say))
    except NsmError as error:
        say("fault", {"text": str(error), "where": error.where, "mend": error.mend})
        sys.exit(1)
    say("done", {"text": text, "result": result})
