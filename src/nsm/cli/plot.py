"""One chart of a report, as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from nsm.cli.context import Context

CHARTS = ("traffic", "alerts", "hosts", "protocols", "score", "coverage")


@click.command(
    "plot",
    short_help="A chart of traffic, alerts, hosts or protocols as SVG or PNG.",
    epilog="\b\nExamples:\n  nsm plot traffic --last 24h -o traffic.svg\n  nsm plot hosts --last 7d -o hosts.png\n\n"
    "An SVG follows the light or dark theme of the program that shows it. PNG needs the extra nsm[png].",
)
@click.argument("what", type=click.Choice(CHARTS))
@click.option("--last", help="The last 24h (default), 7d, 4w.")
@click.option("--from", "start", help="RFC 3339, 14:00 or 'yesterday 14:00'.")
@click.option("--to", "stop", help="The same; now when left out.")
@click.option("--tz", "zone", default="", help="Time zone, for example Europe/Berlin; else that of this machine.")
@click.option("-o", "--output", "output_file", metavar="FILE", required=True, help="File to write: .svg or .png.")
@click.pass_obj
def command(
    context: Context, what: str, last: str | None, start: str | None, stop: str | None, zone: str, output_file: str
) -> None:
    """Draw a chart from the store; the service need not run."""
    from nsm.errors import QueryError, SinkError
    from nsm.report import charts
    from nsm.report.gather import gather, us_now
    from nsm.report.period import period
    from nsm.report.png import png
    from nsm.report.svg import draw
    from nsm.store.settings import SETTINGS

    path = Path(output_file)
    ending = path.suffix.lower()
    if ending not in {".svg", ".png"}:
        mend = f"-o {path.with_suffix('.svg')}   or {path.with_suffix('.png')}"
        raise QueryError("a chart is drawn as SVG or PNG", where=f"-o {output_file}", mend=mend)
    now = us_now()
    chosen = period(last, start, stop, now, zone)
    facts = gather(context.data_dir(), chosen, context.section(SETTINGS).home_net, now)
    chart = getattr(charts, what)(facts)
    if chart is None or not chart.series:
        raise QueryError(f"there is nothing to draw: {what} was not measured in this period", mend="--last 7d")
    data = png(chart) if ending == ".png" else draw(chart, alone=True).encode()
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}", where="-o") from error
    context.note(f"{path}: {chart.desc}")
