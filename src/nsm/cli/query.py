"""Ask the store: rows or groups of any table, by the filter grammar of the page."""

from __future__ import annotations

import time
from typing import Any

import click

from nsm.cli.context import Context
from nsm.cli.output import opened, output_options, write_rows


@click.command(
    "query",
    short_help="Ask the store: rows or groups of any table.",
    epilog="\b\nExamples:\n"
    "  nsm query 'app:tls bytes:>1M' --last 24h --cols ts,src,dst\n"
    "  nsm query --by app --last 1h\n"
    "  nsm query host:10.0.0.5 --sql\n\n"
    "Filter: nsm help filter. Fields: nsm help fields.",
)
@click.argument("words", metavar="[FILTER]", nargs=-1)
@click.option("--table", default="flow", show_default=True, help="flow, record, second, anomaly, alert, ...")
@click.option("--last", help="The last 30s, 5m, 24h, 7d.")
@click.option("--from", "start", help="RFC 3339, 14:00 or 'yesterday 14:00'.")
@click.option("--to", "stop", help="The same.")
@click.option("--cols", help="Columns, with commas; default: all.")
@click.option("--by", help="Group by these fields: rows, and bytes where there are some.")
@click.option("--order", help="A column, -column for the largest first.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--budget", default="10s", show_default=True, help="Longest time the answer may take.")
@click.option("--sql", is_flag=True, help="Print the SQL and its parameters, and do not run it.")
@output_options
@click.pass_obj
def command(
    context: Context,
    /,
    words: tuple[str, ...],
    sql: bool,
    form: str,
    output_file: str | None,
    raw: bool,
    **options: Any,
) -> None:
    """Ask the store for rows or groups of any table."""
    from nsm.store import catalog
    from nsm.store.moments import shown
    from nsm.store.reader import Reader

    spec = _spec(words, options)
    if sql:
        click.echo(_sql(spec))
        return
    reader = Reader(context.data_dir())
    result = reader.query(spec)
    fields = catalog.fields(catalog.table(spec.table))
    local = form == "table" and output_file is None
    rows = shown(result.dicts(), fields, local=local, interfaces=reader.interfaces())
    with opened(output_file) as stream:
        write_rows(rows, result.columns, form=form, to=stream, raw=raw, colour=context.colour)
    more = ", there are more: --limit" if result.stats.truncated else ""
    context.note(f"{len(result.rows)} rows in {result.stats.ms:.0f} ms from {result.stats.source}{more}")


def _spec(words: tuple[str, ...], options: dict[str, Any]) -> Any:
    from nsm.store import catalog, grammar
    from nsm.store.moments import span_us
    from nsm.store.queryspec import Agg, QuerySpec, duration_s

    start, stop = span_us(options["last"], options["start"], options["stop"], time.time_ns() // 1000)
    names = tuple(name.strip() for name in (options["cols"] or "").split(",") if name.strip())
    group = tuple(name.strip() for name in (options["by"] or "").split(",") if name.strip())
    order: tuple[tuple[str, str], ...] = ()
    if options["order"]:
        order = ((options["order"].removeprefix("-"), "desc" if options["order"].startswith("-") else "asc"),)
    aggs: tuple[Agg, ...] = ()
    if group:
        sums = ("bytes",) if "bytes" in catalog.fields(catalog.table(options["table"])) else ()
        aggs = (Agg("count", name="count"), *(Agg("sum", name, name) for name in sums))
        order = order or ((aggs[-1].label, "desc"),)
    return QuerySpec(
        table=options["table"], start_us=start, stop_us=stop, where=grammar.where(" ".join(words), options["table"]),
        select=() if group else names, group=group, aggs=aggs, order=order, limit=options["limit"],
        budget_ms=min(60, duration_s(options["budget"])) * 1000,
    )  # fmt: skip


def _sql(spec: Any) -> str:
    from nsm.store.reader import sql_of

    text, params = sql_of(spec)
    return f"{text};\n-- {params}"
