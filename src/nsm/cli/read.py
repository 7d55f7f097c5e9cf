"""What is in a capture: a summary on a terminal, EVE events elsewhere, or flows as CSV, Parquet and Zeek logs."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click

from nsm.cli import errors
from nsm.cli.context import Context
from nsm.cli.output import write_rows

if TYPE_CHECKING:
    from nsm.pipeline import Result
    from nsm.run.reading import Reading
    from nsm.run.summary import Summary

LEVELS: Final = ("info", "low", "medium", "high", "critical")
LINES: Final = 4_096  # written at once
PROGRESS_AFTER_S: Final = 0.5
PROGRESS_EVERY_S: Final = 0.2


@click.command(
    "read",
    short_help="What is in a capture file.",
    epilog="\b\nExamples:\n"
    "  nsm read trace.pcap                       a summary, with alerts\n"
    "  nsm read trace.pcapng.gz --json | jq .    events, one JSON object a line (EVE)\n"
    "  nsm read *.pcap -q --fail-on high         exit code 1 when there is a high alert\n"
    "  nsm read trace.pcap --format csv -o flows.csv\n"
    "  tcpdump -w - | nsm read - --json\n\n"
    "FILE is pcap or pcapng, plain or gzip, zstd, lz4; - is standard input.",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--json", "form", flag_value="json", help="EVE events on stdout; the default when it is no terminal.")
@click.option("--eve", metavar="FILE", help="EVE events to a file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv", "parquet"]),
    help="json: events; csv, parquet: flows.",
)
@click.option("-o", "--output", "output_file", metavar="FILE", help="Write to a file in place of stdout.")
@click.option("--zeek", metavar="DIR", help="Zeek's logs to a folder, one file each.")
@click.option("--filter", "bpf", metavar="BPF", default="", help="Only packets that match, as for tcpdump.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes; the events are the same for any number.")
@click.option("--set", "pairs", metavar="KEY=VALUE", multiple=True, help="A setting for this run; may be repeated.")
@click.option("--rules", metavar="FILE", multiple=True, help="Suricata rules (accepted, without effect yet).")
@click.option("--netflow", is_flag=True, help="Also netflow events, one for each direction of a flow.")
@click.option("--fail-on", type=click.Choice(LEVELS), help="Exit with 1 at an alert of this severity or above.")
@click.pass_obj
def command(context: Context, /, files: tuple[str, ...], **options: Any) -> None:
    """Read captures from beginning to end and say what is in them.

    What is damaged is read up to the damage (exit code 6).
    """
    form = _form(files, options)
    from nsm.kernels.cache import cold

    if cold():
        context.note("compiling kernels, once, about 15 s")
    job = Job(context, form, options)
    code = job.run(files)
    if code:
        raise click.exceptions.Exit(code)


def _form(files: tuple[str, ...], options: dict[str, Any]) -> str:
    """table, json, csv, parquet or zeek; UsageError when the options contradict each other."""
    context = click.get_current_context()
    if sum(value is not None for value in (options["eve"], options["form"], options["zeek"])) > 1:
        raise click.UsageError("take one of --json, --eve, --format and --zeek", context)
    if options["zeek"] is not None and len(files) > 1:
        raise click.UsageError("--zeek takes one capture at a time", context)
    if options["output_file"] and (options["eve"] or options["zeek"]):
        raise click.UsageError("-o goes with --format and --json", context)
    if options["form"] == "parquet" and not options["output_file"]:
        raise click.UsageError("a file is needed: -o FILE", context)
    if options["eve"] is not None:
        options["output_file"] = options["eve"]
        return "json"
    if options["zeek"] is not None:
        return "zeek"
    plain = "table" if sys.stdout.isatty() or options["output_file"] else "json"
    return str(options["form"] or plain)


class Job:
    """One call of ``nsm read``: several captures, one kind of output."""

    def __init__(self, context: Context, form: str, options: dict[str, Any]) -> None:
        from nsm.run.engine import Engine, engine_sections

        self._context, self._form, self._options = context, form, options
        read = _read_settings(options, zeek=form == "zeek")
        self._engine = Engine(read, context.settings_of(engine_sections(), read.overrides))
        self._worst = -1
        self._stopped = threading.Event()  # by Ctrl-C: what was read is finished tidily

    def run(self, files: tuple[str, ...]) -> int:
        """Read all files; return the exit code."""
        unreadable = partial = 0
        with _opened(self._form, self._options) as sink, _interruptible(self._stopped), _without_collector():
            for file in files:
                code = self._read(file, sink, several=len(files) > 1)
                unreadable += code == errors.INPUT
                partial += code == errors.PARTIAL
                if self._stopped.is_set():
                    break
        if self._stopped.is_set():
            return errors.INTERRUPTED
        level = self._options["fail_on"]
        if level and self._worst >= LEVELS.index(level):
            return errors.FINDINGS
        if partial or unreadable:
            return errors.INPUT if unreadable == len(files) else errors.PARTIAL
        return errors.OK

    def _read(self, file: str, sink: Any, *, several: bool) -> int:
        """Read one file; return OK, INPUT when nothing of it could be read, PARTIAL when it broke off."""
        from nsm.errors import CaptureError
        from nsm.run.summary import Summary
        from nsm.run.watched import WatchedReading

        summary = Summary(traffic=self._form == "table")
        progress = Progress(self._context, file)
        reading = WatchedReading(file, self._engine, summary.add, progress.step, self._stopped.is_set)
        fault: CaptureError | None = None
        try:
            _drain(self._form, reading, sink, file)
        except CaptureError as error:
            fault = error
        finally:
            progress.clear()
        self._worst = max(self._worst, summary.worst)
        if self._form == "table" and (summary.packets or fault is None):
            _show(summary, file if several or not sys.stdout.isatty() else "", sink, colour=self._context.colour)
        if fault is None:
            return errors.OK
        sys.stdout.flush()
        errors.show_error(fault)
        return errors.PARTIAL if reading.counters.get("pkts") else errors.INPUT


def _read_settings(options: dict[str, Any], *, zeek: bool) -> Any:
    """The checked settings of this run; SettingsError or RuleError says what is wrong."""
    import logging

    from nsm.errors import RuleError, SettingsError
    from nsm.run.engine import engine_sections
    from nsm.settings.read_settings import read_settings

    given: dict[str, Any] = {"bpf": options["bpf"]} if options["bpf"] else {}
    if options["workers"]:
        given["workers"] = options["workers"]
    if options["netflow"]:
        given["log"] = {kind: {} for kind in ("flow", "alert", "anomaly", "stats", "netflow")}
    if zeek:
        given |= {"profile": "zeek", "checksum_validation": True}
    for pair in options["pairs"]:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set {pair}: there is no value", where="--set", mend="--set flow.tcp_new_s=20")
        given[key] = _value(value)
    for file in options["rules"]:
        if not Path(file).is_file():
            raise RuleError(f"cannot read the rule file {file}", where="--rules", mend="give the path of a file")
    if options["rules"]:
        logging.getLogger(__name__).warning("rules have no effect yet: files=%d", len(options["rules"]))
    return read_settings(given, engine_sections())


def _value(text: str) -> Any:
    """A value as JSON has it; what is no JSON is a text."""
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


class Progress:
    """``reading x.pcap 62 % 1.1 GiB/s eta 4 s`` on stderr: only on a terminal, and when it lasts."""

    def __init__(self, context: Context, file: str) -> None:
        from nsm.cli.output import display_safe

        self._on = not context.quiet and sys.stderr.isatty()
        self._name = display_safe(Path(file).name if file != "-" else "standard input")[:60]
        self._size = Path(file).stat().st_size if self._on and Path(file).is_file() else 0
        self._began = self._last = time.monotonic()
        self._octets = self._packets = 0
        self._drawn = False

    def step(self, batch: Any) -> None:
        """A batch was used up."""
        if not self._on:
            return
        self._packets += batch.count
        self._octets += int(batch.caplen[: batch.count].sum()) + 16 * batch.count
        now = time.monotonic()
        if now - self._began > PROGRESS_AFTER_S and now - self._last > PROGRESS_EVERY_S:
            self._last, self._drawn = now, True
            print(f"\r{self.text(now - self._began)}\x1b[K", end="", file=sys.stderr, flush=True)

    def text(self, seconds: float) -> str:
        """The line after that many seconds; a share only where the size of the packets can tell it."""
        from nsm.run.summary import amount, counted

        speed = self._octets / seconds
        if not 0 < self._octets <= self._size:  # compressed, or a pipe
            return f"reading {self._name} {counted(self._packets, 'packet')} {amount(speed)}/s"
        share = 100 * self._octets // self._size
        return f"reading {self._name} {share} % {amount(speed)}/s eta {(self._size - self._octets) / speed:.0f} s"

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = False


@contextlib.contextmanager
def _opened(form: str, options: dict[str, Any]) -> Iterator[Any]:
    """What the output goes to: a stream, or a ParquetFile; for Zeek the folder. SinkError when it cannot be written."""
    from nsm.errors import SinkError

    path = options["zeek"] or options["output_file"]
    if path in {None, "-"} and form != "parquet":
        if form == "csv":
            sys.stdout.write(_csv_header())
        yield sys.stdout.buffer if form == "json" else sys.stdout
        return
    try:
        if form == "zeek":
            Path(path).mkdir(parents=True, exist_ok=True)
            yield Path(path)
        elif form == "parquet":
            from nsm.model.flow import FLOW
            from nsm.output.parquet import ParquetFile

            with ParquetFile(path, FLOW) as file:
                yield file
        elif form == "json":
            with Path(path).open("wb", buffering=1 << 20) as stream:
                yield stream
        else:
            with Path(path).open("w", encoding="utf-8", newline="", buffering=1 << 20) as text:
                text.write(_csv_header() if form == "csv" else "")
                yield text
    except OSError as error:
        raise SinkError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}", where="output",
            mend="name a file in a folder that can be written and has room",
        ) from error  # fmt: skip


def _csv_header() -> str:
    from nsm.model.flow import FLOW
    from nsm.output.csv import csv_header

    return csv_header(FLOW)


def _drain(form: str, reading: Reading, sink: Any, file: str) -> None:
    """Take all results to the sink; CaptureError at the end when the capture broke off."""
    if form == "json":
        _write_events(reading, sink, file)
    elif form == "zeek":
        from nsm.output.zeek import ZeekLogs

        logs = ZeekLogs(sink)
        try:
            for result in reading.results():
                logs.take(result.records.flows, result.records.said)
        finally:
            logs.close()
    else:
        write = _row_writer(form, sink)
        for result in reading.results():
            write(result)


def _write_events(reading: Reading, stream: IO[bytes], file: str) -> None:
    from nsm.output.eve import EveWriter
    from nsm.run.reading import event_lines

    writer = EveWriter(reading.engine.eve_options(capture_file=file))
    lines: list[bytes] = []
    try:
        for line in event_lines(reading, writer):
            lines.append(line)
            if len(lines) == LINES:
                lines.append(b"")
                stream.write(b"\n".join(lines))
                lines.clear()
    finally:
        # Also before a fault: what was readable is written first.
        if lines:
            lines.append(b"")
            stream.write(b"\n".join(lines))
        stream.flush()


def _row_writer(form: str, sink: Any) -> Callable[[Result], None]:
    """What takes the ended flows of a result to a CSV or Parquet file; for a table nothing is to do."""
    if form == "table":
        return lambda result: None
    from nsm.output.csv import csv_lines
    from nsm.track.rows import ended

    if form == "parquet":
        return lambda result: sink.write(ended(result.records.flows))
    return lambda result: sink.writelines(csv_lines(ended(result.records.flows)))


def _show(summary: Summary, name: str, stream: Any, *, colour: bool) -> None:
    """Print a summary for a person."""
    from nsm.cli.output import display_safe

    stream.write(f"{display_safe(name)}: {summary.headline}\n" if name else f"{summary.headline}\n")
    for rows in (list(summary.applications()), list(summary.talkers()), list(summary.alerts())):
        if rows:
            stream.write("\n")
            write_rows(rows, to=stream, colour=colour)
    if summary.packets:
        shown = len(list(summary.alerts()))
        more = f", {shown} shown; all: --json" if summary.alert_count > shown else ""
        stream.write(f"\n{summary.alert_count} alerts{more}\n" if summary.alert_count else "\nno alerts\n")


@contextlib.contextmanager
def _interruptible(stopped: threading.Event) -> Iterator[None]:
    """The first Ctrl-C sets ``stopped``, the second interrupts as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        stopped.set()
        signal.signal(number, signal.default_int_handler)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """No search for cyclic garbage behind our back: it takes a tenth of the time."""
    import gc

    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
