"""What the web server needs from the rest of the service: a feed of live messages, and a control to act through.

The server is a process of its own and loads neither capture nor analysis. ``run`` gives it one ``LiveFeed`` and
one ``Control`` (over Unix sockets); tests give it scripted ones. Messages are plain dicts of JSON values; a
missing number is None, never 0. Times named ``ts``, ``since``, ``from`` and ``to`` are seconds UTC (float or int);
times inside an alert are microseconds UTC, as in ``nsm.model.finding.Alert``.

Messages of the feed, by ``type``::

    second   ts, boot (changes when the analyst restarts), v {name: number|null} (names: ``SERIES``),
             drops {iface: n}, talkers [{ip, name, local, bytes_in, bytes_out, flows}],
             protocols [{key, label, bytes, pkts}], score {score|null, reason, deductions [{id, label, points,
             cap, count, q, table: "alerts" | "events"}]}, threats {by_kind, by_severity}, packets_total, gap|null
             (deduction ``q``: the filter whose rows number ``count``; "" where there are no rows to open)
    rows     seen (rows of that time, also those not sent), rows [{ts, event_type (one of ``EVENT_TYPES``),
             severity (a word), src_ip, src_port, dest_ip, dest_port, proto (a name), details, flow_id, alert_id}];
             rows of flows may have app, bytes and pkts too: without them such filters read the store instead
    alert    alert: ``Alert.as_dict()``; the same id again is an update
    capture  state: running, stopped, failed or demo; interfaces [{name, state, up, addresses, pps, bps, drops,
             selected}], error {title, detail, where, fix} | null, since | null, demo
    gap      what, from, to, process: monitoring was interrupted
    cleared  the logs were cleared: views are read again from the store
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol

Message = Mapping[str, Any]
"""One decoded message of the feed."""

SERIES: Final = (
    "pps", "bps_in", "bps_out", "flows_active", "hosts_active", "drops_kernel", "drops_queue", "events_s", "alerts_s",
    "avg_pkt", "tcp_bps", "udp_bps", "icmp_pps", "tls_bps", "http_bps", "quic_bps", "dns_qps", "ssh_bps",
    "mail_files_bps", "other_bps", "cpu_pct", "rss_bytes", "rtt_ms", "loss_pct",
)  # fmt: skip
"""Names of the numbers of a second, in the order of the ticks."""

EVENT_TYPES: Final = (
    "network_scan", "flood", "large_packet", "external_connection", "suspicious_connection", "new_host",
    "normal_traffic", "monitor",
)  # fmt: skip
"""Kinds of rows of the event log."""


class LiveFeed(Protocol):
    """What the analyst says, in order. The server reads it in one task, for as long as it runs."""

    def __aiter__(self) -> AsyncIterator[Message]:
        """Messages as they come. Ends only when the service ends; a lost connection is reconnected behind it.

        A reader that is slow must not make the analyst wait: the implementation drops ``rows`` first and
        says so in the next ``rows`` message (``seen`` counts them).
        """
        ...


class Control(Protocol):
    """The supervisor, as far as the page may command it.

    Every method raises an ``NsmError`` leaf when it fails: ``CapturePermissionError`` or ``CaptureError`` for
    the capture, ``ServiceError`` when the service does not answer; ``where`` and ``mend`` are shown to people.
    """

    async def interfaces(self) -> list[dict[str, Any]]:
        """Interfaces of the machine, busiest first, in the form of the ``capture`` message."""
        ...

    async def state(self) -> dict[str, Any]:
        """The state of the capture, in the form of the ``capture`` message."""
        ...

    async def start(
        self, iface: str | None, bpf: str | None = None, snaplen: int | None = None, ring_bytes: int | None = None
    ) -> dict[str, Any]:
        """Start the capture and give the new state; None: the interface of the default route, the settings' values."""
        ...

    async def stop(self) -> dict[str, Any]:
        """Stop the capture and give the new state; stopping a stopped capture changes nothing."""
        ...

    async def clear_logs(self, keep_noted: bool = True) -> dict[str, int]:
        """Delete what is stored and give the numbers deleted by table; alerts with notes stay with ``keep_noted``.

        Sent to the store's writer; a ``cleared`` message follows in the feed.
        """
        ...

    async def health(self) -> dict[str, Any]:
        """{processes: [{name, pid, alive, restarts, rss_bytes, cpu_pct}], queues, store, workers, figures}.

        ``figures`` are those of the health process: {ts, machine, interfaces, probes, resolver, forecast, verdicts}.
        """
        ...

    async def job(self, kind: str, name: str, task: dict[str, Any], who: str) -> int:
        """Start a job of that kind, or let it wait for its turn; its number. QueryError or ScanError for a wrong task."""
        ...

    async def settings(self) -> dict[str, Any]:
        """{settings: [{name, about, effect, fields}]}, as ``run/live_settings.py`` shapes them."""
        ...

    async def change_setting(self, key: str, value: Any) -> dict[str, Any]:
        """Set one, None gives it back; {effect, settings}. NsmError, of any leaf, when a start with it would fail."""
        ...

    async def notify(self) -> dict[str, Any]:
        """{channels: [{name, kind, state, failures, error, sent, counts {state: n}, outage}]}: untried, works, failing, hangs."""
        ...

    async def test_channel(self, name: str) -> None:
        """Send a test message; QueryError for an unknown channel, DeliveryError when it does not arrive."""
        ...

    async def jobs(self) -> list[dict[str, Any]]:
        """Jobs that run or wait: {id, kind, name, since, progress, state}."""
        ...

    async def cancel_job(self, number: int) -> None:
        """End a job; QueryError when it does not run."""
        ...

    async def add_schedule(self, kind: str, name: str, trigger: str, task: dict[str, Any], who: str) -> int:
        """Keep a schedule, its number; QueryError for a time or task that is none."""
        ...

    async def switch_schedule(self, number: int, enabled: bool) -> None:
        """Switch a schedule on or off; QueryError when there is none."""
        ...

    async def remove_schedule(self, number: int) -> None:
        """Remove a schedule; QueryError when there is none."""
        ...
