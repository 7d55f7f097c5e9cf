"""A report's page as PDF, by WeasyPrint in a process of its own: with low priority, a time limit, and no way to fetch anything.

WeasyPrint is the extra ``nsm[pdf]``. Long tables cost it seconds, so that the page for it is made with fewer rows.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import sys
from typing import Any, Final, NoReturn

from nsm.errors import SinkError

ROWS_MAX: Final = 500  # of a table; 600 rows take 5 s, 2,000 take 8 s and 245 MB
NICE: Final = 10
SECONDS_MAX: Final = 120.0
MEMORY_BYTES_MAX: Final = 2 << 30  # ours: of addresses; tables of 2,000 rows take 245 MB


class PdfMissingError(SinkError):
    """WeasyPrint, or a library that it needs, is not installed."""


def missing() -> bool:
    """Is WeasyPrint not installed? Its libraries are only known by trying."""
    return importlib.util.find_spec("weasyprint") is None


def pdf(html: str, seconds_max: float = SECONDS_MAX) -> bytes:
    """The PDF of a page of ours; PdfMissingError without WeasyPrint, SinkError when it fails or takes too long."""
    if missing():
        raise missing_error("WeasyPrint is not installed")
    try:
        done = subprocess.run(  # noqa: S603  ourselves
            [sys.executable, "-m", __name__, str(int(seconds_max) + 1)],
            input=html.encode(), capture_output=True, timeout=seconds_max, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        mend = "a shorter period, --short, or the setting report.pdf_seconds_max"
        raise SinkError(f"the PDF took longer than {seconds_max:g} s", where="WeasyPrint", mend=mend) from error
    except OSError as error:
        raise SinkError(f"the PDF cannot be made: {error.strerror}", where=sys.executable) from error
    if done.returncode or not done.stdout.startswith(b"%PDF"):
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["it went away"])[-1]
        if "cannot load library" in said:
            raise missing_error(f"a library of WeasyPrint is missing: {said[:200]}")
        raise SinkError(f"the PDF cannot be made: {said[:200]}", where="WeasyPrint")
    return done.stdout


def missing_error(message: str) -> PdfMissingError:
    """The error that says how to mend it."""
    return PdfMissingError(f"no PDF: {message}", where="the extra nsm[pdf]",
                           mend="pip install 'netsecmonitor[pdf]'   and Pango of the system")  # fmt: skip


def refuse(url: str, *_rest: Any, **_named: Any) -> NoReturn:
    """The page needs nothing from anywhere: whatever asks is refused."""
    raise ValueError(f"a report fetches nothing: {url[:100]}")


def main() -> None:
    """Read a page from standard input and write its PDF to standard output.

    The limits hold even when whoever started this has gone.
    """
    os.nice(NICE)
    seconds = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    import weasyprint

    document = weasyprint.HTML(string=sys.stdin.buffer.read().decode(), url_fetcher=refuse)
    sys.stdout.buffer.write(document.write_pdf(pdf_identifier=b"nsm", pdf_tags=True))


if __name__ == "__main__":
    main()
