"""A report of a period: what happened, what changed, how well was watched."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nsm.cli.context import Context

if TYPE_CHECKING:
    from nsm.errors import NsmError


def _schema(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from nsm.report.document import json_schema

        click.echo(json_schema(), nl=False)
        ctx.exit()


@click.command(
    "report",
    short_help="A report of a period as HTML, PDF, JSON or CSV.",
    epilog="\b\nExamples:\n"
    "  nsm report --last 24h -o day.html\n"
    "  nsm report --last 7d --format html,pdf -o week.html\n"
    "  nsm report --last 24h --scope 192.168.1.20,10.1.0.0/16 -o office.html\n"
    "  nsm report --last 7d --format pdf --mail\n"
    "  nsm report --from 2026-11-01 --to 2026-11-08 --format json -o - | jq .summary\n\n"
    "Several formats take the name of FILE with their own endings; CSV is a zip with a file for each table.\n\n"
    "Exit codes: 6 when a PDF was asked for and only the HTML could be written; others: nsm help exit-codes",
)
@click.option("--last", help="The last 24h (default), 7d, 4w.")
@click.option("--from", "start", help="RFC 3339, 14:00 or 'yesterday 14:00'.")
@click.option("--to", "stop", help="The same; now when left out.")
@click.option(
    "--format", "formats", default=None, help="html, pdf, json, csv; several with commas. Default: of FILE, else html."
)
@click.option(
    "-o", "--output", "output_file", metavar="FILE", help="File to write; - for stdout. Not needed with --mail."
)
@click.option("--scope", help="Only these hosts and networks: 192.168.1.20,10.1.0.0/16,printer.")
@click.option("--mail", is_flag=True, help="Keep it with the reports of the service, which mails it: notify.mail.")
@click.option("--tz", "zone", default="", help="Time zone, for example Europe/Berlin; else that of this machine.")
@click.option("--short", is_flag=True, help="Only summary, score, alerts and what changed.")
@click.option("--redact", is_flag=True, help="Pseudonyms in place of names and addresses.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_schema,
    help="Print the JSON schema of --format json and end.",
)
@click.pass_obj
def command(context: Context, /, formats: str | None, output_file: str | None, mail: bool, **options: Any) -> None:
    """Write a report from the store; the service need not run. With --mail the service sends it when it runs."""
    if mail:
        from nsm.run.notice_control import refuse_without_mail

        refuse_without_mail(context.settings().values())
    elif output_file is None:
        raise click.UsageError("missing option '-o' / '--output', or --mail", click.get_current_context())
    named = _formats(formats, output_file or "")
    if output_file == "-" and len(named) > 1:
        raise click.UsageError("stdout takes one format", click.get_current_context())
    began = time.perf_counter()
    facts = _facts(context, options)
    problem = _write_all(context, facts, named, output_file) if output_file is not None else None
    if mail:
        _mail(context, facts, named, f"last {options['last'] or '24h'}" if options["start"] is None else "nsm report")
    context.note(f"{time.perf_counter() - began:.1f} s")
    if problem is not None:
        from nsm.cli.errors import PARTIAL, show

        show(f"{problem}; the report was written as HTML", problem.where, problem.mend)
        click.get_current_context().exit(PARTIAL)


def _write_all(context: Context, facts: Any, named: tuple[str, ...], output_file: str) -> NsmError | None:
    """Write every format; the error of a PDF, in whose place the page is written."""
    from nsm.errors import SinkError
    from nsm.report.render import render
    from nsm.report.settings import SETTINGS as REPORT
    from nsm.report.shelf import FORMATS

    seconds_max = context.section(REPORT).pdf_seconds_max
    problem: SinkError | None = None
    for form in named:
        path = _path(output_file, FORMATS[form], several=len(named) > 1)
        try:
            data = render(facts, form, seconds_max)
        except SinkError as error:  # of the PDF: the page is written in its place
            problem = error
            if "html" in named:
                continue
            path, data = _path(output_file, "html", several=True), render(facts, "html")
        _write(path, data)
        context.note(f"{'stdout' if path is None else path}: {len(data):,} bytes")
    return problem


def _mail(context: Context, facts: Any, named: tuple[str, ...], name: str) -> None:
    """Keep the report and put its mail into the outbox of the service."""
    import getpass

    from nsm.errors import ServiceError, SinkError
    from nsm.report.keeping import keep, written
    from nsm.report.settings import SETTINGS as REPORT
    from nsm.report.shelf import Shelf
    from nsm.run.control import ask
    from nsm.run.report_mail import post

    limits, data = context.section(REPORT), context.data_dir()
    files, problem = written(facts, named, limits.pdf_seconds_max, lambda _form: None, readable=True)
    kept = keep(Shelf(data), facts, files, name=name, who=getpass.getuser(), problem=problem, most=limits.files_max,
                mailed=True)  # fmt: skip
    try:
        page = str(ask(data, "status")["page"])
    except ServiceError:
        page = ""
        context.note("the service does not run: it sends the mail when it does")
    said, posted = post(data, kept, facts, context.settings().values(), page)
    if not posted:
        raise SinkError(said, where="--mail", mend="nsm doctor")
    if problem:
        context.note(problem)
    context.note(f"{Shelf(data).folder / kept.id}: {', '.join(kept.files)}; {said}")


def _facts(context: Context, options: dict[str, Any]) -> Any:
    from nsm.report.gather import gather, us_now
    from nsm.report.period import period
    from nsm.report.redact import key_of, redacted
    from nsm.report.shelf import Shelf
    from nsm.store.settings import SETTINGS as STORE

    now = us_now()
    chosen = period(options["last"], options["start"], options["stop"], now, options["zone"])
    home = context.section(STORE).home_net
    facts = gather(context.data_dir(), chosen, home, now, short=options["short"], scope=_scope(options["scope"]))
    if not options["redact"]:
        return facts
    shelf = Shelf(context.data_dir())
    shelf.make_folder()
    return redacted(facts, key_of(shelf.folder))


def _scope(text: str | None) -> tuple[str, ...]:
    """The words of the option; one that is given and empty (a variable that is not set) is refused, not taken for everything."""
    from nsm.report.scope import words

    return () if text is None else words(text or ",")


def _formats(text: str | None, output_file: str) -> tuple[str, ...]:
    from nsm.report.shelf import FORMATS, formats_of

    if text is not None:
        return formats_of(text)
    ending = Path(output_file).suffix.lower().removeprefix(".")
    return (next((form for form, own in FORMATS.items() if ending in (form, own)), "html"),)


def _path(output_file: str, ending: str, *, several: bool) -> Path | None:
    """Where a format goes; None for stdout."""
    if output_file == "-":
        return None
    path = Path(output_file)
    return path.with_suffix(f".{ending}") if several else path


def _write(path: Path | None, data: bytes) -> None:
    from nsm.errors import SinkError

    if path is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}", where="-o") from error
