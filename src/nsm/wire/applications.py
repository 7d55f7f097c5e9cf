"""The application behind a host name, by the longest suffix of a table (applications.txt, beside this file)."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

LABELS_MAX: Final = 6  # of a suffix in the table: no need to look at longer ones
MEMO_MAX: Final = 8_192  # names whose application is remembered
NAME_CHARS_MAX: Final = 255  # RFC 1035, section 2.3.4


class Applications:
    """Suffix -> (application, category)."""

    def __init__(self, text: str) -> None:
        self._suffixes: dict[str, tuple[str, str]] = {}
        self._categories: dict[str, str] = {}
        self._firsts: set[str] = set()
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, category, *suffixes = line.split()
                self._categories[name] = category
                self._suffixes.update(dict.fromkeys(suffixes, (name, category)))
                self._firsts.update(suffix.partition(".*.")[0] for suffix in suffixes if ".*." in suffix)
        self._memo: dict[str, str] = {}

    @classmethod
    def shipped(cls) -> Applications:
        """The table that comes with the program."""
        return cls(files("nsm.wire").joinpath("applications.txt").read_text(encoding="utf-8"))

    def category(self, name: str) -> str:
        """The category of an application, "" when it is not in the table."""
        return self._categories.get(name, "")

    def of_host(self, host: str) -> str:
        """The application that a host name belongs to, "" none."""
        known = self._memo.get(host)
        if known is None:
            if len(self._memo) >= MEMO_MAX:
                self._memo.clear()
            known = self._memo[host] = self._look_up(host)
        return known

    def _look_up(self, host: str) -> str:
        rest = host[:NAME_CHARS_MAX].rstrip(".").lower()
        labels = rest.split(".")
        for first in range(max(0, len(labels) - LABELS_MAX), len(labels)):
            suffix = ".".join(labels[first:])
            found = self._suffixes.get(suffix)
            if first > 1 and labels[0] in self._firsts:
                found = self._suffixes.get(f"{labels[0]}.*.{suffix}", found)
            if found is not None:
                return found[0]
        return ""
