"""The last flows, of everything or of one host."""

from __future__ import annotations

import time
from typing import Any

import click

from nsm.cli.context import Context
from nsm.cli.output import opened, output_options, write_rows

COLUMNS = ("ts", "src", "src_port", "dst", "dst_port", "proto", "app", "bytes_s", "bytes_c", "outcome")


@click.command(
    "flows",
    short_help="The last flows, of everything or of one host.",
    epilog="\b\nExamples:\n"
    "  nsm flows --host 192.168.1.23\n"
    "  nsm flows app:ssh --last 24h\n"
    "  nsm flows --host laptop-7 --format csv -o laptop.csv",
)
@click.argument("words", metavar="[FILTER]", nargs=-1)
@click.option("--host", help="Address, network or name of a host, on either side.")
@click.option("--last", help="The last 30s, 5m, 24h, 7d.")
@click.option("--from", "start", help="RFC 3339, 14:00 or 'yesterday 14:00'.")
@click.option("--to", "stop", help="The same.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@output_options
@click.pass_obj
def command(
    context: Context, /, words: tuple[str, ...], host: str | None, limit: int, form: str, output_file: str | None,
    raw: bool, **options: Any,
) -> None:  # fmt: skip
    """Show the last flows, newest first."""
    from nsm.errors import QueryError
    from nsm.store import catalog, grammar
    from nsm.store.moments import shown, span_us
    from nsm.store.queryspec import And, QuerySpec, Term
    from nsm.store.reader import Reader

    reader = Reader(context.data_dir())
    start, stop = span_us(options["last"], options["start"], options["stop"], time.time_ns() // 1000)
    parts = [node for node in [grammar.where(" ".join(words))] if node is not None]
    if host is not None:
        addresses = reader.resolve_host(host)
        if not addresses:
            raise QueryError(f"no host is known as {host}", mend="nsm hosts   lists them; an address works always")
        parts.append(Term("host", "in", tuple(addresses)) if len(addresses) > 1 else Term("host", "cidr", addresses[0]))
    spec = QuerySpec(start_us=start, stop_us=stop, where=And(tuple(parts)) if parts else None, limit=limit)
    result = reader.query(spec)
    local = form == "table" and output_file is None
    fields = catalog.fields(catalog.table("flow"))
    rows = shown(result.dicts(), fields, local=local, interfaces=reader.interfaces())
    columns = COLUMNS if form == "table" else result.columns
    with opened(output_file) as stream:
        write_rows(rows, columns, form=form, to=stream, raw=raw, colour=context.colour)
    if result.stats.truncated:
        context.note(f"the newest {limit}; there are more: --limit, or nsm export flows")
