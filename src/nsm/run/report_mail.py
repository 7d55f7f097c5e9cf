"""A report as a mail: put into the outbox like every message, so that the notifier tries it again and never sends it twice.

Whoever makes the report has done with it then: a mail server that is dead holds up nobody. What is attached stays on the
shelf until it is sent; how the sending goes is in the state of the channel, and beside the report.
"""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from nsm.errors import NsmError
from nsm.model.finding import Severity
from nsm.model.notice import Attachment, Notice, Part, one_line
from nsm.report.facts import Facts
from nsm.report.scope import said
from nsm.report.shelf import About, Shelf, notice_of_report
from nsm.report.summary import summary, verdict

CHANNEL: Final = "mail"
MEDIA: Final = {"pdf": "application/pdf", "html": "text/html"}
"""Endings that are attached: the first that a report has."""


def post(data: Path, kept: About, facts: Facts, values: Mapping[str, Any], page: str = "") -> tuple[str, bool]:
    """Put the mail into the outbox: what to say of it in one clause, and whether it is there. ``page``: its address, if known."""
    from nsm.store.notices import NoticeStore

    try:
        store = NoticeStore(data)
        try:
            dropped = store.put(
                CHANNEL, notice(data, kept, facts, page), (), int(values.get("notify.queue_max") or 500)
            )
        finally:
            store.close()
    except (NsmError, sqlite3.Error) as error:
        return f"not mailed, the outbox cannot be written: {error}", False
    return "its mail waits to be sent" + (f", {dropped} older ones had to leave the queue" if dropped else ""), True


def notice(data: Path, kept: About, facts: Facts, page: str = "") -> Notice:
    """The message: period and verdict as its title, the summary as its text, the page or the PDF attached."""
    period = facts.period
    about = f" of {said(facts.scope, 1)}" if facts.scope else ""
    title = f"Report{about}, {period.text(period.start_us)} to {period.text(period.stop_us)}: {verdict(facts)}"
    shelf = Shelf(data)
    ending = next((one for one in MEDIA if one in kept.files), "")
    files: tuple[Attachment, ...] = ()
    if ending:
        path = str(shelf.folder / f"{kept.id}.{ending}")
        files = (Attachment(f"nsm-report-{kept.id}.{ending}", MEDIA[ending], path, kept.files[ending]),)
    where = [f"On {socket.gethostname()}: {shelf.folder / kept.id}.{one}" for one in kept.files]
    if page:
        where.insert(0, f"On the page: {page}reports")
    parts = [Part(one_line(kept.name or "Summary", 200), tuple(one_line(sentence) for sentence in summary(facts)))]
    if kept.problem:
        parts.append(Part("Not complete", (one_line(kept.problem),)))
    return Notice(
        id=notice_of_report(kept.id), kind="report", title=one_line(title, 180), severity=Severity.INFO, ts=kept.made_us,
        sensor=socket.gethostname(), parts=(*parts, Part("Where it is", tuple(where))), link=f"{page}reports" if page else "",
        attachments=files,
    )  # fmt: skip
