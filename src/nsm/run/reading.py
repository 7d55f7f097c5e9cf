"""Reads captures from beginning to end: the Python interface and ``nsm read`` are thin around this."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from nsm.capture.filtered import filtered
from nsm.capture.reading import open_capture
from nsm.capture.source import shown
from nsm.errors import CaptureError, RuleError
from nsm.kernels.constants import PARTS
from nsm.model.flow import FLOW, Report
from nsm.model.records import Records
from nsm.model.table import Rows
from nsm.output.eve import EveWriter, in_order
from nsm.pipeline import Result, analysed
from nsm.run.engine import Engine, engine_sections
from nsm.settings.read_settings import read_settings
from nsm.track.worker import run_worker

if TYPE_CHECKING:
    import pyarrow as pa

CaptureFile = str | os.PathLike[str]


class Reading:
    """One capture on its way through the engine; ``results`` can be taken once."""

    def __init__(self, source: CaptureFile, engine: Engine) -> None:
        self._source, self.engine = source, engine
        self.analyst = engine.analyst()
        self.packets = 0
        self.counters: dict[str, int] = {}
        self.last_us = 0

    def results(self) -> Iterator[Result]:
        """Results in order of packet time; CaptureError at the end when the capture broke off."""
        workers = min(self.engine.read.workers, PARTS)  # flows come in so many parts: more workers would have nothing
        if workers > 1 and str(self._source) != "-" and Path(self._source).is_file():
            from nsm.run.shards import run_shards  # late: most captures are read by one process

            parts = run_shards(os.fspath(self._source), self.engine, workers)
        else:
            workers, parts = 1, ((0, records) for records in self._one())
        for result in analysed(parts, workers, self.analyst):
            self._count(result)
            yield result

    def _one(self) -> Iterator[Records]:
        settings = self.engine.worker_settings()
        source = open_capture(self._source, settings.batch_packets)
        return run_worker(filtered(source, self.engine.read.bpf), settings)

    def _count(self, result: Result) -> None:
        seconds = result.records.seconds
        if len(seconds):
            for name in ("pkts", "bytes", "malformed", "fragments"):
                self.counters[name] = self.counters.get(name, 0) + int(seconds[name].sum())
            self.last_us = max(self.last_us, int(seconds["ts"][-1]) + 1_000_000)
        counted = int(result.records.targets["evicted"].sum())
        self.counters["flows_counted"] = self.counters.get("flows_counted", 0) + counted
        ended = result.records.flows["report"] == Report.ENDED
        self.counters["flows"] = self.counters.get("flows", 0) + int(ended.sum())
        self.counters["alerts"] = self.counters.get("alerts", 0) + len(result.alerts)


def event_lines(reading: Reading, writer: EveWriter) -> Iterator[bytes]:
    """All events as EVE lines in order; CaptureError at the end when the capture broke off."""
    fault: CaptureError | None = None
    results = reading.results()
    while True:
        try:
            result = next(results, None)
        except CaptureError as error:
            fault = error
            break
        if result is None:
            break
        alerts = [writer.alert(alert) for alert in result.alerts] if writer.wants("alert") else []
        flows = list(writer.flows(result.records.flows))
        said = list(writer.records(result.records.said))
        yield from in_order(said, flows, list(writer.anomalies(result.records.anomalies)), alerts)
    if writer.wants("stats") and reading.counters.get("pkts"):
        yield statistics(reading, writer)
    if fault is not None:
        raise fault


def statistics(reading: Reading, writer: EveWriter) -> bytes:
    """The stats event at the end of a capture: sums over all workers, in packet time."""
    counters = reading.counters
    stats = {
        "decoder": {
            "pkts": counters["pkts"], "bytes": counters["bytes"], "invalid": counters["malformed"],
            "avg_pkt_size": counters["bytes"] // max(counters["pkts"], 1),
        },
        "flow": {"total": counters["flows"]},
        "detect": {"alert": counters["alerts"]},
    }  # fmt: skip
    saturated = {name: count for name, count in reading.analyst.saturated.items() if count}
    return writer.stats(reading.last_us, stats, {
        "fragments": counters["fragments"], "flows_counted": counters["flows_counted"], "saturated": saturated,
    })  # fmt: skip


def read(
    source: CaptureFile, *, rules: Sequence[CaptureFile] = (), settings: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """The events of a capture file as dictionaries in the form of EVE JSON, in order of packet time.

    Args:
        source: a pcap or pcapng file, plain or compressed with gzip, zstd or lz4; "-" for standard input.
        rules: files of Suricata rules; accepted, without effect yet (one warning).
        settings: ``home_net``, ``batch_packets``, ``workers``, ``profile``, the settings of a Suricata test, and any
            setting of ``nsm config show`` by its dotted or nested name.

    Raises:
        CaptureError: the file is no capture, or was cut or damaged: after everything readable was yielded.
        SettingsError: a setting is unknown or has an impossible value.
    """
    reading, writer = _prepare(source, rules, settings)
    for line in event_lines(reading, writer):
        yield orjson.loads(line)


def _prepare(
    source: CaptureFile, rules: Sequence[CaptureFile], settings: Mapping[str, Any] | None
) -> tuple[Reading, EveWriter]:
    for rule_file in rules:
        if not Path(rule_file).is_file():
            raise RuleError(f"cannot read the rule file {shown(rule_file)}", mend="give the path of an existing file")
    engine = Engine.of(read_settings({**(settings or {})}, engine_sections()))
    if rules:
        import logging

        logging.getLogger(__name__).warning("rules have no effect yet: files=%d", len(rules))
    return Reading(source, engine), EveWriter(engine.eve_options(capture_file=str(source)))


def flow_rows(source: CaptureFile, *, settings: Mapping[str, Any] | None = None) -> Rows:
    """The flows of a capture file as rows, in the order in which they ended; CaptureError as ``read``."""
    reading, _ = _prepare(source, (), settings)
    ended = [result.records.flows for result in reading.results()]
    return Rows.concat(FLOW, [rows.take(rows["report"] == Report.ENDED) for rows in ended])


def flows(source: CaptureFile, *, settings: Mapping[str, Any] | None = None) -> pa.Table:
    """The flows of a capture file as an Arrow table, one row each; ``.to_pandas()`` and ``polars.from_arrow`` work.

    Columns are those of the table ``flow`` (docs/records.md) with addresses as text in ``src_ip`` and ``dest_ip``.

    Raises:
        CaptureError: as ``read``; the flows before the fault are lost to the caller.
    """
    from nsm.output.parquet import arrow_table

    return arrow_table(flow_rows(source, settings=settings))
