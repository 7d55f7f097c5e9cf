"""Hosts of the network, as they were seen."""

from __future__ import annotations

import time

import click

from nsm.cli.context import Context
from nsm.cli.output import opened, output_options, write_rows

COLUMNS = ("address", "name", "mac", "local", "first_seen", "last_seen")


@click.command(
    "hosts",
    short_help="Hosts of the network; which are new.",
    epilog="\b\nExamples:\n  nsm hosts\n  nsm hosts new --last 7d\n  nsm hosts --format csv -o hosts.csv",
)
@click.argument("which", type=click.Choice(["all", "new"]), default="all")
@click.option("--last", help="First seen in the last 24h, 7d; for `new` the default is 24h.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True)
@output_options
@click.pass_obj
def command(
    context: Context, which: str, last: str | None, limit: int, form: str, output_file: str | None, raw: bool
) -> None:
    """Show hosts, the newest first."""
    from nsm.store.moments import shown, span_us
    from nsm.store.reader import Reader

    start, _ = span_us(last or ("24h" if which == "new" else None), None, None, time.time_ns() // 1000)
    found = Reader(context.data_dir()).hosts(start or 0, limit)
    with opened(output_file) as stream:
        rows = shown(found, {}, local=form == "table" and output_file is None)
        write_rows(rows, COLUMNS, form=form, to=stream, raw=raw, colour=context.colour)
