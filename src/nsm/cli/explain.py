"""One alert in words: what happened, why it matters, how sure it is, what to do next, and the evidence."""

from __future__ import annotations

from typing import Any

import click

from nsm.cli.context import Context
from nsm.cli.output import display_safe, write_one


@click.command(
    "explain",
    short_help="One alert in words, with its evidence.",
    epilog="\b\nExamples:\n  nsm explain A17\n  nsm explain A17 --json",
)
@click.argument("alert_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="The alert as one JSON object.")
@click.pass_obj
def command(context: Context, alert_id: str, as_json: bool) -> None:
    """Explain an alert."""
    from nsm.errors import StoreError
    from nsm.store.reader import Reader

    alert = Reader(context.data_dir()).alert(alert_id)
    if alert is None:
        raise StoreError(f"there is no alert {alert_id}", mend="nsm alerts   lists them")
    if as_json:
        write_one(alert, form="json")
    else:
        for line in _lines(alert):
            click.echo(display_safe(line))


def _lines(alert: dict[str, Any]) -> list[str]:
    from nsm.store.moments import time_text

    finding = alert["finding"]
    told = finding["explain"]
    first, last = (time_text(alert[key], local=True) for key in ("first_seen", "last_seen"))
    lines = [
        f"{alert['severity'].capitalize()}: {finding['signature']} ({finding['confidence']:.0%} sure)",
        f"  id {alert['id']}, {alert['count']} times, {first} to {last}, state {alert['state']}",
    ]
    for title, texts in (
        ("What happened", (told["what"],)), ("Why it matters", (told["why"],)), ("Speaks for it", told["sure_for"]),
        ("Speaks against it", told["sure_against"]), ("Innocent causes", told["benign"]),
        ("What to do next", told["next"]), ("Notes", _notes(alert)),
    ):  # fmt: skip
        kept = [text for text in texts if text]
        if kept:
            lines += ["", title, *(f"  {text}" for text in kept)]
    measured = f"{finding['measured']:g} {finding['unit']} in {finding['window_s']:g} s"
    lines += [
        "",
        "Evidence",
        f"  measured {measured}, threshold {finding['threshold']:g} (detector {finding['detector']})",
    ]
    sides = (("actors", finding["actors"]), ("victims", finding["victims"]))
    lines += [f"  {name}: {', '.join(texts)}" for name, texts in sides if texts]
    lines += [f"  nsm query flow_id:{flow_id}" for flow_id in finding["flow_ids"]]
    return lines


def _notes(alert: dict[str, Any]) -> list[str]:
    from nsm.store.moments import time_text

    return [f"{time_text(note['ts'], local=True)} {note['who']} ({note['state']}): {note['text']}"
            for note in alert["notes"] if note["text"]]  # fmt: skip
