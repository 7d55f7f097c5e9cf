"""Is the service running, and how is it: asked of the service itself, and of the store for open alerts."""

from __future__ import annotations

import sys
from typing import Any

import click

from nsm.cli.context import Context
from nsm.cli.output import display_safe, json_line

OPEN_STATES = ("new", "escalated")


@click.command(
    "status",
    short_help="Is the service running, and how is it?",
    epilog="""\b
Examples:
  nsm status                            processes, capture, store, open alerts, where the page is
  nsm status --json                     the same as one line of JSON
\b
Exit codes: 0 it runs, 5 nothing answers""",
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@click.pass_obj
def command(context: Context, as_json: bool) -> None:
    """Show whether the service runs: processes, capture, store, open alerts, where the page is."""
    from nsm.run.control import ask

    status = ask(context.data_dir(), "status")
    status["open_alerts"] = open_alerts(context)
    if as_json:
        sys.stdout.write(json_line(status) + "\n")
    else:
        sys.stdout.write("\n".join(map(display_safe, lines_of(status))) + "\n")


def open_alerts(context: Context) -> dict[str, int]:
    """Alerts that nobody has dealt with, by severity, the worst first; empty while there is no store."""
    from nsm.errors import StoreError
    from nsm.store.reader import AlertFilter, Reader

    try:
        found = Reader(context.data_dir()).alerts(AlertFilter(states=OPEN_STATES, limit=1)).by_severity
    except StoreError:
        return {}
    return dict(reversed(found.items()))


def lines_of(status: dict[str, Any]) -> list[str]:
    """The answer of the service as lines for a person."""
    capture, second = status["capture"], status["second"]
    alerts = ", ".join(f"{count} {word}" for word, count in status["open_alerts"].items() if count)
    lines = [
        f"page     {status['page']}",
        f"capture  {_capture(capture, second)}",
        f"store    {_store(second.get('store') or {})}",
        f"alerts   {alerts or 'none'} open",
        "",
        f"{'process':<24}{'pid':>8}{'memory':>12}{'restarts':>10}",
    ]
    if capture["error"]:
        error = capture["error"]
        lines[2:2] = [f"         {error['title']}", *(f"         mend: {fix['cmd']}" for fix in error["fix"])]
    for one in status["processes"]:
        pid = one["pid"] if one["alive"] else "down"
        lines.append(f"{one['name']:<24}{pid:>8}{one['rss_bytes'] / 2**20:>8.0f} MiB{one['restarts']:>10}")
    return lines


def _capture(capture: dict[str, Any], second: dict[str, Any]) -> str:
    names = " ".join(one["name"] for one in capture["interfaces"] if one["selected"])
    said = capture["state"] + (f" on {names}" if names else "")
    if not second:
        return f"{said}, the analysis does not answer"
    lost = sum((second.get("drops") or {}).values())
    return f"{said}, {second['packets_total']:,} packets, {lost:,} dropped by the kernel, {second['v']['pps']:,}/s now"


def _store(store: dict[str, Any]) -> str:
    if not store:
        return "no answer yet"
    reason = f": {store['reason']}" if store["reason"] else ""
    return f"{store['state']}{reason}, {store['rows_stored']:,} rows stored, {store['free_bytes'] / 2**30:.1f} GiB free"
