"""Everything that matches, as CSV, JSON lines or Parquet; or the packets of an alert."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import click

from nsm.cli.context import Context
from nsm.cli.output import opened, write_rows

TABLES = {"flows": "flow", "alerts": "alert", "anomalies": "anomaly", "events": "record", "seconds": "second",
          "targets": "target", "arp": "arp"}  # fmt: skip
PAGE_ROWS = 10_000


@click.command(
    "export",
    short_help="Everything that matches, as CSV, JSON lines or Parquet.",
    epilog="\b\nExamples:\n"
    "  nsm export flows --last 1h --format parquet -o f.parquet\n"
    "  nsm export alerts severity:high+ --format csv > alerts.csv\n"
    "  nsm export packets A17 -o a17.pcapng\n\n"
    f"WHAT: {', '.join(TABLES)}, or packets with the id of an alert.",
)
@click.argument("what", type=click.Choice([*TABLES, "packets"]))
@click.argument("words", metavar="[FILTER]", nargs=-1)
@click.option("--last", help="The last 30s, 5m, 24h, 7d.")
@click.option("--from", "start", help="RFC 3339, 14:00 or 'yesterday 14:00'.")
@click.option("--to", "stop", help="The same.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl", "parquet"]), default="csv", show_default=True)
@click.option("--raw", is_flag=True, help="CSV: leave cells that begin with = + - @ as they are.")
@click.option("-o", "--output", "output_file", metavar="FILE", help="File; needed for parquet and packets.")
@click.pass_obj
def command(
    context: Context,
    /,
    what: str,
    words: tuple[str, ...],
    form: str,
    raw: bool,
    output_file: str | None,
    **options: Any,
) -> None:
    """Write every row that matches, newest first."""
    from nsm.store.moments import shown, span_us
    from nsm.store.reader import Reader

    if (what == "packets" or form == "parquet") and not output_file:
        raise click.UsageError("a file is needed: -o FILE", click.get_current_context())
    reader = Reader(context.data_dir())
    if what == "packets":
        _packets(context, reader, words, str(output_file))
        return
    start, stop = span_us(options["last"], options["start"], options["stop"], time.time_ns() // 1000)
    fields, rows = _rows(reader, TABLES[what], " ".join(words), start, stop)
    if form == "parquet":
        count = _parquet(rows, str(output_file))
    else:
        with opened(output_file) as stream:
            lines = shown(rows, fields, interfaces=reader.interfaces())
            count = write_rows(lines, form="json" if form == "jsonl" else "csv", to=stream, raw=raw)
    context.note(f"{count} rows")


def _rows(
    reader: Any, table: str, text: str, start: int | None, stop: int | None
) -> tuple[Any, Iterator[dict[str, Any]]]:
    """(fields, all rows): page after page, so that memory stays small."""
    from nsm.store import catalog, grammar
    from nsm.store.queryspec import QuerySpec

    def pages() -> Iterator[list[dict[str, Any]]]:
        cursor: str | None = None
        while True:
            result = reader.query(
                QuerySpec(table=table, start_us=start, stop_us=stop, where=grammar.where(text, table),
                          limit=PAGE_ROWS, cursor=cursor, budget_ms=60_000)
            )  # fmt: skip
            yield result.dicts()
            cursor = result.cursor
            if cursor is None:
                return

    return catalog.fields(catalog.table(table)), chain.from_iterable(pages())


def _parquet(rows: Iterator[dict[str, Any]], path: str) -> int:
    from itertools import islice

    import pyarrow as pa
    import pyarrow.parquet as pq

    from nsm.errors import SinkError

    count, writer = 0, None
    try:
        while part := list(islice(rows, PAGE_ROWS)):
            table = pa.Table.from_pylist(part, schema=writer.schema if writer else None)
            if "ts" in table.column_names:
                at = table.column_names.index("ts")
                table = table.set_column(at, "ts", table.column("ts").cast(pa.timestamp("us", "UTC")))
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            count += len(part)
        if writer is None:
            pq.write_table(pa.table({}), path)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror or error}", where="-o") from error
    finally:
        if writer is not None:
            writer.close()
    return count


def _packets(context: Context, reader: Any, words: tuple[str, ...], path: str) -> None:
    from pathlib import Path

    from nsm.errors import SinkError, StoreError

    if len(words) != 1:
        raise click.UsageError("packets of which alert?", click.get_current_context())
    packets = reader.capsule(words[0])
    if packets is None:
        raise StoreError(f"no packets were kept of alert {words[0]}", mend="nsm alerts   lists alerts")
    try:
        Path(path).write_bytes(packets)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}", where="-o") from error
    context.note(f"{len(packets)} bytes")
