"""Alerts: what was found, and what people make of it."""

from __future__ import annotations

import getpass
import time
from typing import Any

import click

from nsm.cli.context import Context
from nsm.cli.output import opened, output_options, write_rows

COLUMNS = ("id", "severity", "last_seen", "count", "kind", "signature", "src", "dst", "state")
VERBS = {"done": "done", "escalate": "escalated", "snooze": "snoozed", "mute": "muted", "expected": "expected",
         "reopen": "new", "note": None}  # fmt: skip


@click.command(
    "alerts",
    short_help="What was found; mark it as done, or note something.",
    epilog="\b\nExamples:\n"
    "  nsm alerts --last 24h --severity high+\n"
    "  nsm alerts kind:network_scan host:10.0.0.0/8\n"
    "  nsm alerts done A17 --note 'known scan'\n\n"
    "Verbs: done, escalate, snooze, mute, expected, reopen, note; each takes one or more alert ids.",
)
@click.argument("words", metavar="[FILTER | VERB ID...]", nargs=-1)
@click.option("--severity", help="info, low, medium, high, critical; high+ for at least.")
@click.option("--state", "states", multiple=True, help="new, over, done, escalated, ...; may be repeated.")
@click.option("--last", help="The last 30s, 5m, 24h, 7d.")
@click.option("--from", "start", help="RFC 3339, 14:00 or 'yesterday 14:00'.")
@click.option("--to", "stop", help="The same.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--note", default="", help="With a verb: a note on each of the alerts.")
@output_options
@click.pass_obj
def command(context: Context, /, words: tuple[str, ...], note: str, **options: Any) -> None:
    """Show alerts, newest first, or act on some of them."""
    if words and words[0] in VERBS:
        _act(context, words[0], words[1:], note)
    else:
        _show(context, " ".join(words), options)


def _act(context: Context, verb: str, ids: tuple[str, ...], note: str) -> None:
    from nsm.store.triage import triage

    if not ids or (verb == "note" and not note):
        raise click.UsageError("which alerts?" if not ids else "a note needs words", click.get_current_context())
    count = triage(context.data_dir(), ids, state=VERBS[verb], note=note, who=getpass.getuser())
    context.note(f"{count} alert{'s' if count != 1 else ''}: {verb}")


def _show(context: Context, text: str, options: dict[str, Any]) -> None:
    from nsm.store import catalog
    from nsm.store.moments import shown, span_us
    from nsm.store.reader import AlertFilter, Reader

    if options["severity"]:
        text = f"{text} severity:{options['severity']}"
    start, stop = span_us(options["last"], options["start"], options["stop"], time.time_ns() // 1000)
    page = Reader(context.data_dir()).alerts(
        AlertFilter(q=text, start_us=start, stop_us=stop, states=options["states"], limit=options["limit"])
    )
    form = options["form"]
    items = page.items if form == "json" else [_flat(item) for item in page.items]
    local = form == "table" and options["output_file"] is None
    rows = shown(items, {} if form == "json" else catalog.fields(catalog.ALERT), local=local)
    with opened(options["output_file"]) as stream:
        write_rows(rows, COLUMNS, form=form, to=stream, raw=options["raw"], colour=context.colour)
    if form == "table":
        totals = ", ".join(f"{count} {word}" for word, count in reversed(page.by_severity.items()))
        context.note(f"{page.total} alerts{f': {totals}' if totals else ''}")


def _flat(item: dict[str, Any]) -> dict[str, Any]:
    finding = item["finding"]
    return {**finding, **item, "src": finding["src_ip"], "dst": finding["dest_ip"]}
