"""What every command is given as ``ctx.obj``: the options in common, and settings that are loaded when asked for."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import signal
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsm.settings.load import Settings
    from nsm.settings.section import SettingsSection


class Context:
    """The options in common of one call of ``nsm``. ``environ`` is given by tests."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = environ
        self.config: str | None = None
        self.data: str | None = None
        self.verbosity = 0  # -1 quiet, 0 plain, 1 and 2 more
        self.no_color = False
        self.debug = False
        self._settings: Settings | None = None

    @property
    def quiet(self) -> bool:
        """Whether progress and notes are left out."""
        return self.verbosity < 0

    @property
    def colour(self) -> bool:
        """Whether stdout may have colours: NO_COLOR and FORCE_COLOR, else only on a terminal."""
        if self.no_color or self.environ.get("NO_COLOR"):
            return False
        return bool(self.environ.get("FORCE_COLOR")) or sys.stdout.isatty()

    def data_dir(self) -> Path:
        """Where store and logs are; not made here."""
        from nsm.settings.places import data_dir

        return data_dir(self.data, self.environ)

    def settings(self, flags: Mapping[str, Any] | None = None) -> Settings:
        """The effective settings, those of the page included; SettingsError says which key is wrong and where.

        ``flags`` (key -> value) are the command's own options. Without them they are loaded once.
        """
        if self._settings is not None and not flags:
            return self._settings
        from nsm.run.schema import load_settings

        loaded = load_settings(config=self.config, page=self._page_settings(), flags=flags, environ=self.environ)
        if not flags:
            self._settings = loaded
        return loaded

    def settings_of(self, sections: Sequence[SettingsSection], flags: Mapping[str, Any] | None = None) -> Settings:
        """The effective settings of these sections alone: to load every part of the system costs a command 0.2 s to a second.

        A fault in what the file says of them is told as ``settings`` tells it; what it says of other parts is
        looked at when these are used.
        """
        from nsm.errors import SettingsError
        from nsm.settings.load import environment_values, load
        from nsm.settings.places import config_file
        from nsm.settings.sources import flatten, parse, read_text

        known = load(sections, environ={}).fields
        names = frozenset(section.name for section in sections)
        parts = {name.partition(".")[0] for name in names}
        try:
            file = config_file(self.config, self.environ)
            values = dict(flatten(parse(file, read_text(file)), names)) if file else {}
            variables = {
                name: text for key, text, name in environment_values(self.environ) if key.partition(".")[0] in parts
            }
            if not any(_suspicious(key, known, parts) for key in values):
                return load(sections, page=values | self._page_settings(), environ=variables, flags=flags)
        except SettingsError:
            pass
        return self.settings(flags)  # says the fault with its file and line

    def section(self, section: SettingsSection) -> Any:
        """The settings of one section, as an instance of its struct."""
        return self.settings_of((section,)).section(section.name)

    def _page_settings(self) -> dict[str, Any]:
        """Key -> value of what was set on the page; nothing while there is no store."""
        from nsm.store.database import DATABASE

        if not (self.data_dir() / DATABASE).exists():
            return {}
        from nsm.store.page_settings import PageSettings

        kept = PageSettings(self.data_dir())
        try:
            return kept.all()
        finally:
            kept.close()

    def note(self, text: str) -> None:
        """Print one line for the person on stderr; nothing when quiet."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def start_logging(self) -> None:
        """Send warnings (with -v more) of the program to stderr."""
        from nsm.run.logs import console

        level = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(self.verbosity, logging.DEBUG)
        console(level)


def _suspicious(key: str, known: Collection[str], parts: Collection[str]) -> bool:
    """May a key of the file be a typing error of one of ``parts``?"""
    first = key.partition(".")[0]
    return key not in known and (first in parts or bool(difflib.get_close_matches(first, parts, n=1)))


@contextlib.contextmanager
def stopping(stopped: list[int]) -> Iterator[None]:
    """Ctrl-C and SIGTERM add their number to ``stopped``; the second Ctrl-C interrupts as ever."""

    def stop(number: int, frame: Any) -> None:
        stopped.append(number)
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
