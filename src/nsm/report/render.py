"""Facts as the bytes of a format."""

from __future__ import annotations

from nsm.report import html, tables
from nsm.report import pdf as of_pdf
from nsm.report.facts import Facts


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
