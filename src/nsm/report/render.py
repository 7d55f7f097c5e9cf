"""Facts as the bytes of a format."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nsm.errors import QueryError
from nsm.report import html, tables
from nsm.report import pdf as of_pdf
from nsm.report.facts import Facts
from nsm.report.shelf import FORMATS

DEFAULT: Final = ("html",)


def formats_of(text: str | Iterable[str]) -> tuple[str, ...]:
    """The formats that ``html,pdf`` or a list names, each once; QueryError for an unknown one."""
    words = text.split(",") if isinstance(text, str) else list(text)
    named = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    for name in named:
        if name not in FORMATS:
            raise QueryError(f"there is no format {name[:20]!r}", where="--format", mend=", ".join(FORMATS))
    if not named:
        raise QueryError("no format is named", where="--format", mend=", ".join(FORMATS))
    return named


def render(facts: Facts, form: str, pdf_seconds_max: float = of_pdf.SECONDS_MAX) -> bytes:
    """One file; SinkError when a PDF cannot be made."""
    match form:
        case "html":
            return html.page(facts).encode()
        case "pdf":
            return of_pdf.pdf(html.page(facts, rows_max=of_pdf.ROWS_MAX), pdf_seconds_max)
        case "json":
            return tables.json_document(facts)
        case _:
            return tables.csv_zip(facts)
