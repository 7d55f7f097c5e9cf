"""Facts written in the formats that were asked for, and kept on the shelf with a few words on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from nsm.errors import SinkError
from nsm.report.facts import Facts
from nsm.report.pdf import PdfMissingError
from nsm.report.render import render
from nsm.report.shelf import FORMATS, About, Shelf
from nsm.report.summary import summary

READABLE: Final = ("html", "pdf")


def written(
    facts: Facts, forms: Iterable[str], pdf_seconds_max: float, tell: Callable[[str], None], *, readable: bool = False
) -> tuple[dict[str, bytes], str]:  # fmt: skip
    """(ending -> bytes, what could not be written and why); the page in place of a PDF that cannot be made.

    ``tell`` is called before each format, and may raise. ``readable``: one that a person can read is among them.
    """
    files, problem = dict[str, bytes](), ""
    for form in forms:
        tell(form)
        try:
            files[FORMATS[form]] = render(facts, form, pdf_seconds_max)
        except PdfMissingError as error:
            problem = f"{error}. {error.mend}"
        except SinkError as error:
            problem = str(error)
    if not files or (readable and not files.keys() & set(READABLE)):
        files["html"] = render(facts, "html")
    return files, problem


def keep(
    shelf: Shelf, facts: Facts, files: Mapping[str, bytes], *, name: str, who: str, problem: str, most: int, mailed: bool
) -> About:  # fmt: skip
    """The report as it is kept; SinkError on a full disk."""
    about = About(
        id=shelf.new_id(), name=name[:200], who=who, made_us=facts.made_us, start_us=facts.period.start_us,
        stop_us=facts.period.stop_us, zone=facts.period.zone, summary=" ".join(summary(facts)), score=facts.score.score,
        files={}, problem=problem, mailed=mailed,
    )  # fmt: skip
    return shelf.keep(about, files, most)
