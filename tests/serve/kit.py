"""What the tests of server and page share: a feed and a control that tests drive, a store, and a real server."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvicorn

from nsm.errors import DeliveryError, NsmError, QueryError
from nsm.model.address import halves
from nsm.model.finding import Alert, Explain, Finding, Severity
from nsm.model.flow import FLOW
from nsm.model.table import Rows
from nsm.run.live_settings import LiveSettings
from nsm.run.schema import collect
from nsm.serve.app import CAPTURES, create_app
from nsm.serve.page import STATIC
from nsm.serve.settings import ServeSettings, bind
from nsm.settings.load import load
from nsm.store.accounts import Accounts
from nsm.store.captures import CapturesSettings
from nsm.store.clear import clear
from nsm.store.jobs import JobStore
from nsm.store.page_settings import PageSettings
from nsm.store.reader import Reader
from nsm.store.records import BatchId, Capsule, StoredBatch
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer

US = 1_000_000
PASSWORD = "correct horse"  # noqa: S105  of tests alone
INTERFACES: list[dict[str, Any]] = [
    {"name": "eth0", "state": "up", "up": True, "addresses": ["192.168.1.5/24"], "pps": 812, "bps": 4_000_000,
     "drops": 0, "selected": True},
    {"name": "wlan0", "state": "up", "up": True, "addresses": ["192.168.2.5/24"], "pps": 3, "bps": 2_000, "drops": 0,
     "selected": False},
    {"name": "lo", "state": "up", "up": True, "addresses": ["127.0.0.1/8"], "pps": 0, "bps": 0, "drops": 0,
     "selected": False},
]  # fmt: skip

CHANNELS: list[dict[str, Any]] = [
    {"name": "mail", "kind": "mail", "state": "failing", "failures": 3, "error": "mail: connection refused",
     "sent": None, "counts": {"waiting": 2}, "outage": "Messages do not reach mail: mail: connection refused"},
    {"name": "webhook", "kind": "webhook", "state": "works", "failures": 0, "error": "", "sent": 1_780_000_000.0,
     "counts": {"sent": 12}, "outage": ""},
]  # fmt: skip


HEALTH: dict[str, Any] = {
    "processes": [
        {"name": "supervisor", "pid": 10, "alive": True, "restarts": 0, "rss_bytes": 50 << 20, "cpu_pct": 0.9},
        {"name": "analyst", "pid": None, "alive": False, "restarts": 3, "rss_bytes": 0, "cpu_pct": None},
    ],
    "queues": {"store": {"waiting": 2, "shed": 0}},
    "store": {"state": "ok", "reason": "", "free_bytes": 70 << 30, "bulk_bytes": 3 << 30, "rows_stored": 18_204,
              "rows_refused": 0, "bytes_dropped": 0, "errors": 0},
    "workers": {"capture-eth0-0": {"iface": "eth0", "packets": 1_234_567, "drops": 9, "cut": 0, "live": 412}},
    "figures": {
        "ts": 1_700_000_000.0,
        "machine": {"cpu_ratio": 0.12, "load_1min": 0.5, "memory_used_bytes": 2 << 30, "memory_total_bytes": 8 << 30,
                    "disk_used_bytes": 30 << 30, "disk_free_bytes": 70 << 30, "disk_total_bytes": 100 << 30,
                    "temperature_c": None, "clock_synchronised": True, "clock_offset_s": 0.0,
                    "clock_stepped_s": 0.0},
        "interfaces": [
            {"name": "eth0", "up": True, "enabled": True, "mtu": 1500, "speed_mbit": 1000,
             "counters": {"bytes_in": 9_000, "bytes_out": 700, "packets_in": 90, "packets_out": 7, "errors_in": 0,
                          "errors_out": 0, "drops_in": 4, "drops_out": 0},
             "rates": {"bytes_in": 512_000.0, "bytes_out": 9_000.0, "packets_in": 812.0, "packets_out": 40.0,
                       "errors": 0.0, "drops": 0.0}},
            {"name": "wlan0", "up": False, "enabled": True, "mtu": 1500, "speed_mbit": 0,
             "counters": dict.fromkeys(("bytes_in", "bytes_out", "packets_in", "packets_out", "errors_in",
                                        "errors_out", "drops_in", "drops_out"), 0), "rates": None},
        ],
        "probes": [
            {"name": "gateway", "address": "192.168.1.1", "role": "gateway", "method": "icmp", "answered": True,
             "only_echoes": False,
             "jitter_ms": 0.4, "duplicates": 0, "raised": ["loss"],
             "minute": {"sent": 60, "lost": 6, "late": 1, "p50_ms": 1.2, "p95_ms": 4.0, "max_ms": 9.5, "loss": 0.1},
             "quarter": {"sent": 900, "lost": 9, "late": 1, "p50_ms": 1.1, "p95_ms": 3.0, "max_ms": 9.5, "loss": 0.01}},
            {"name": "resolver", "address": "192.168.1.2", "role": "resolver", "method": "tcp", "answered": False,
             "only_echoes": False,
             "jitter_ms": None, "duplicates": 0, "raised": [],
             "minute": {"sent": 60, "lost": 60, "late": 0, "p50_ms": None, "p95_ms": None, "max_ms": None, "loss": 1.0},
             "quarter": {"sent": 0, "lost": 0, "late": 0, "p50_ms": None, "p95_ms": None, "max_ms": None, "loss": None}},
        ],
        "resolver": {"address": "192.168.1.2", "time_ms": 14.0, "rcode": 0},
        "forecast": {"days_left": 41.5, "bytes_a_day": 1.7e9, "level": "ok", "reason": ""},
        "verdicts": [
            {"id": "drops", "state": "warn", "text": "9 packets (0.2%) were dropped in ten minutes.",
             "mend": "nsm config set capture.ring_mb 128   or   nsm config set capture.workers 2"},
            {"id": "mirror:eth0", "state": "note", "text": "On eth0 only this machine's own traffic is seen.",
             "mend": "a mirror (SPAN) port of the switch"},
            {"id": "clock", "state": "ok", "text": "The clock is synchronised.", "mend": ""},
        ],
    },
}  # fmt: skip


class ScriptedFeed:
    """A feed that says what the test pushes, from any thread."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def push(self, kind: str, **message: Any) -> None:
        """Say one message."""
        self._messages.put({"type": kind, **message})

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while True:
            try:
                yield self._messages.get_nowait()
            except queue.Empty:
                await asyncio.sleep(0.01)


class ScriptedControl:
    """A supervisor with one capture and the real store; ``refuse`` makes the next start fail."""

    def __init__(self, feed: ScriptedFeed, store: Path) -> None:
        self._feed, self._store = feed, store
        self.refuse: NsmError | None = None
        self.capture = capture_state("running")
        self.calls: list[tuple[Any, ...]] = []
        self.open_jobs: list[dict[str, Any]] = []
        self._jobs: JobStore | None = None

    async def interfaces(self) -> list[dict[str, Any]]:
        return INTERFACES

    async def state(self) -> dict[str, Any]:
        return self.capture

    async def start(
        self, iface: str | None, bpf: str | None = None, snaplen: int | None = None, ring_bytes: int | None = None
    ) -> dict[str, Any]:
        self.calls.append(("start", iface, bpf, snaplen, ring_bytes))
        if self.refuse is not None:
            refused, self.refuse = self.refuse, None
            raise refused
        self.capture = capture_state("running", iface or "eth0")
        return self.capture

    async def stop(self) -> dict[str, Any]:
        self.calls.append(("stop",))
        self.capture = capture_state("stopped")
        return self.capture

    async def clear_logs(self, keep_noted: bool = True) -> dict[str, int]:
        self.calls.append(("clear", keep_noted))
        gone = await asyncio.to_thread(clear, self._store, keep_noted=keep_noted)
        self._feed.push("cleared")
        return {"rows": gone.rows, "alerts": gone.alerts, "alerts_kept": gone.alerts_kept}

    async def health(self) -> dict[str, Any]:
        self.calls.append(("health",))
        return HEALTH

    async def job(self, kind: str, name: str, task: dict[str, Any], who: str) -> int:
        self.calls.append(("job", kind, name, task, who))
        if not self._jobs:
            self._jobs = JobStore(self._store)
        return self._jobs.begin(kind, name, who)

    async def settings(self) -> dict[str, Any]:
        return over_a_socket({"settings": self._live_settings().shapes()})

    async def change_setting(self, key: str, value: Any) -> dict[str, Any]:
        live = self._live_settings()
        effect = live.change(key, value)
        return over_a_socket({"effect": effect, "settings": live.shapes()})

    def _live_settings(self) -> LiveSettings:
        kept = PageSettings(self._store)
        try:
            return LiveSettings(load(collect(), environ={}, page=kept.all()), self._store)
        finally:
            kept.close()

    async def notify(self) -> dict[str, Any]:
        return {"channels": CHANNELS}

    async def test_channel(self, name: str) -> None:
        self.calls.append(("test_channel", name))
        if name == "mail":
            raise DeliveryError("mail: connection refused", where="notify.mail")

    async def jobs(self) -> list[dict[str, Any]]:
        return self.open_jobs

    async def cancel_job(self, number: int) -> None:
        self.calls.append(("cancel_job", number))

    async def add_schedule(self, kind: str, name: str, trigger: str, task: dict[str, Any], who: str) -> int:
        self.calls.append(("add_schedule", kind, name, trigger, task, who))
        return JobStore(self._store).add_schedule(kind, name, trigger, task, who)

    async def switch_schedule(self, number: int, enabled: bool) -> None:
        _there(JobStore(self._store).enable_schedule(number, enabled), number)

    async def remove_schedule(self, number: int) -> None:
        _there(JobStore(self._store).remove_schedule(number), number)


def over_a_socket(header: dict[str, Any]) -> dict[str, Any]:
    """As it comes from the supervisor: tuples are lists."""
    decoded: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(header))
    return decoded


def _there(found: bool, number: int) -> None:
    if not found:
        raise QueryError(f"there is no schedule {number}")


def capture_state(state: str, iface: str = "eth0", **more: Any) -> dict[str, Any]:
    """A ``capture`` message without its type."""
    chosen = [{**item, "selected": item["name"] == iface and state != "stopped"} for item in INTERFACES]
    since = None if state == "stopped" else time.time() - 3600
    return {"state": state, "interfaces": chosen, "error": None, "since": since, "demo": state == "demo", **more}


def second(ts: float, **more: Any) -> dict[str, Any]:
    """A quiet second of a small network."""
    values = {"pps": 5811, "bps_in": 48_100_000, "bps_out": 3_200_000, "flows_active": 412, "hosts_active": 31,
              "drops_kernel": 0, "drops_queue": 0, "events_s": 40, "alerts_s": 0, "avg_pkt": 1103, "cpu_pct": 12,
              "rss_bytes": 310 << 20}  # fmt: skip
    return {
        "ts": int(ts), "boot": "a1", "v": {**values, **more.pop("v", {})}, "drops": {"eth0": 0},
        "talkers": [
            {"ip": f"192.168.1.{20 + n}", "name": f"laptop-{n}" if n < 3 else "", "local": True,
             "bytes_in": 90_000_000 // (n + 1), "bytes_out": 4_000_000 // (n + 1), "flows": 40 - n}
            for n in range(12)
        ],
        "protocols": [
            {"key": "tls", "label": "TLS", "bytes": 41_000_000, "pkts": 4000},
            {"key": "quic", "label": "QUIC", "bytes": 9_000_000, "pkts": 800},
            {"key": "dns", "label": "DNS", "bytes": 400_000, "pkts": 900},
            {"key": "ssh", "label": "SSH", "bytes": 1_200_000, "pkts": 300},
            {"key": "other", "label": "Other", "bytes": 700_000, "pkts": 90},
        ],
        "score": {"score": 85, "reason": "", "window_s": 86_400, "deductions": [
            {"id": "incidents", "label": "High alerts", "points": 10, "cap": 50, "count": 1, "q": "severity:high",
             "table": "alerts"},
            {"id": "devices", "label": "Unknown devices", "points": 5, "cap": 5, "count": 2, "q": "kind:new_host",
             "table": "alerts"},
        ]},
        "threats": {"by_kind": {"network_scan": 1, "new_host": 2},
                    "by_severity": {"info": 0, "low": 2, "medium": 0, "high": 1, "critical": 0}},
        "packets_total": 1_234_567, "gap": None, **more,
    }  # fmt: skip


def log_row(
    number: int, ts: float, kind: str = "normal_traffic", severity: str = "info", **more: Any
) -> dict[str, Any]:
    """A live row of the event log."""
    flow = kind == "normal_traffic"
    return {
        "ts": ts, "event_type": kind, "severity": severity, "src_ip": f"192.168.1.{number % 200 + 2}",
        "src_port": 40_000 + number % 20_000, "dest_ip": "203.0.113.9", "dest_port": 443, "proto": "TCP",
        "details": f"tls 12,{number % 1000:03d} bytes, 24 packets", "flow_id": 1_000_000 + number if flow else None,
        "alert_id": None if flow else f"L{number}", "app": "tls", "bytes": 12_000, "pkts": 24, **more,
    }  # fmt: skip


EXPLAIN = Explain(
    "laptop-7 (192.168.1.23) tried 214 different ports on nas (192.168.1.5) in 3 min; 209 refused, 5 answered.",
    "Listing open ports is often the first step before an attack.",
    ("Threshold is 25 ports in 5 min, measured 214.", "First time for this host."),
    ("No log-in was tried after.",),
    ("An inventory tool.", "A curious owner."),
    ("Ask the owner if a scan was run.", "See what it did next.", "If nobody knows, take it off the network."),
)


def make_alert(
    number: int, ts: float, *, severity: Severity = Severity.HIGH, kind: str = "network_scan",
    signature: str = "Port scan", explain: Explain = EXPLAIN, **rest: Any,
) -> Alert:  # fmt: skip
    """An alert last seen at ``ts``."""
    seen = int(ts * US)
    src, dst = rest.pop("src_ip", "192.168.1.23"), rest.pop("dest_ip", "192.168.1.5")
    finding = Finding(
        detector="port_scan", key=(str(number),), kind=kind, signature=signature, signature_id=9_000_001,
        category="Attempted Information Leak", ts=seen, first_seen=seen - 180 * US, actors=(src,), victims=(dst,),
        measured=214, threshold=25, unit="ports", window_s=300, impact=severity, confidence=0.85, src_ip=src,
        dest_ip=dst, proto=6, techniques=("T1046",), flow_ids=(11, 12), explain=explain,
    )  # fmt: skip
    values: dict[str, Any] = {"count": 214, "first_seen": seen - 180 * US, "last_seen": seen, "risk": 60, **rest}
    return Alert(id=f"A{number}", finding=finding, severity=severity, **values)


def make_flows(times: Sequence[float], app: str = "tls") -> Rows:
    """One flow at each time, from ten hosts to one server."""
    count = len(times)
    source = [halves(f"192.168.1.{20 + n % 10}") for n in range(count)]
    server = halves("203.0.113.9")
    return Rows(FLOW, {
        "ts": (np.array(times) * US).astype(np.int64),
        "flow_id": np.arange(1, count + 1, dtype=np.uint64) + np.uint64(hash(app) % 1000 * 1_000_000),
        "ip_v": np.full(count, 4, np.uint8), "proto": np.full(count, 17 if app == "dns" else 6, np.uint8),
        "src_hi": np.array([hi for hi, _ in source], np.uint64),
        "src_lo": np.array([lo for _, lo in source], np.uint64),
        "dst_hi": np.full(count, server[0], np.uint64), "dst_lo": np.full(count, server[1], np.uint64),
        "src_port": np.arange(count, dtype=np.uint16) + np.uint16(40_000),
        "dst_port": np.full(count, 53 if app == "dns" else 443, np.uint16), "app": np.full(count, app, object),
        "pkts_s": np.full(count, 10, np.uint64), "pkts_c": np.full(count, 14, np.uint64),
        "bytes_s": np.full(count, 2_000, np.uint64), "bytes_c": np.full(count, 10_000, np.uint64),
        "outcome": np.full(count, 3, np.uint8),
    }, count)  # fmt: skip


class Store:
    """A real store that tests write to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        settings = StoreSettings(ballast_bytes=0, free_min_bytes=0, free_early_bytes=0)
        self._writer = Writer(directory, settings, background=False)
        self._seq = 0

    def add(self, *tables: Rows, alerts: Sequence[Alert] = (), payloads: Sequence[Capsule] = ()) -> None:
        """Store rows, alerts and the packets behind them."""
        self._seq += 1
        batch = StoredBatch(batch_id=BatchId("s", "boot", self._seq), tables=tables, alerts=tuple(alerts),
                            payloads=tuple(payloads))  # fmt: skip
        if not all(self._writer.store([batch])):
            raise AssertionError("a batch was refused")

    def close(self) -> None:
        self._writer.close()


class Service(msgspec.Struct):
    """A running server and everything behind it."""

    url: str
    feed: ScriptedFeed
    control: ScriptedControl
    store: Store
    accounts: Accounts
    reader: Reader


@contextmanager
def backend(folder: Path) -> Iterator[Service]:
    """Feed, control, store and accounts, without a server."""
    store, feed = Store(folder), ScriptedFeed()
    reader, accounts = Reader(folder), Accounts(folder)
    try:
        yield Service("", feed, ScriptedControl(feed, folder), store, accounts, reader)
    finally:
        reader.close()
        accounts.close()
        store.close()


@contextmanager
def running(
    service: Service, static: Path = STATIC, captures: CapturesSettings = CAPTURES, **settings: Any
) -> Iterator[Service]:
    """The real server in a thread, on a free port of loopback."""
    chosen = ServeSettings(**{"listen": "127.0.0.1:0", **settings})
    socket = bind(chosen)
    directory = service.store.directory
    app = create_app(
        service.feed, service.control, service.reader, service.accounts, chosen, directory, static, captures
    )
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    try:
        while not server.started:
            if not thread.is_alive():
                raise AssertionError("the server did not start")
            time.sleep(0.01)
        yield service
    finally:
        server.should_exit = True
        thread.join(10)
        socket.close()


class Heart:
    """Pushes a second every second, as the analyst does, until it is stopped."""

    def __init__(self, feed: ScriptedFeed) -> None:
        self._feed = feed
        self.more: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        count = 0
        while not self._stop.wait(1 - time.time() % 1):
            count += 1
            wave = 1 + 0.4 * np.sin(count / 9) + 0.1 * np.sin(count * 1.7)
            more = dict(self.more)
            values = {"pps": int(5811 * wave), "bps_in": int(48e6 * wave), "bps_out": int(3.2e6 * wave),
                      **more.pop("v", {})}  # fmt: skip
            self._feed.push("second", **second(time.time(), v=values, **more))

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2)
