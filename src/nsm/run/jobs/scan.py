"""The job "scan": a port scan by the service, kept in the store, compared with those before."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import QueryError
from nsm.run.work import Done, JobSpec, Teller, run_job, settings_of


class ScanTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person asks for, as of ``nsm scan``. ``rate`` None: the settings' rates."""

    targets: tuple[str, ...] = ()
    ports: str = ""
    udp: bool = False
    rate: int | None = None
    method: str = ""
    discovery: bool = True
    permitted: bool = False
    large: bool = False
    checks: tuple[str, ...] = ()


def check(task: dict[str, Any]) -> dict[str, Any]:
    """The task with its defaults; NsmError for what no scan may do. Names are looked up by the scan itself."""
    from nsm.scan.ports import parse
    from nsm.scan.settings import RATE_MAX
    from nsm.scan.targets import HOSTS_LARGE_MAX, expand

    try:
        asked = msgspec.convert(task, ScanTask)
    except msgspec.ValidationError as error:
        raise QueryError(f"not a scan: {error}", where="task") from error
    if asked.method not in ("", "syn", "connect"):
        raise QueryError(f"there is no method {asked.method[:20]!r}", where="method", mend="syn, connect, or nothing")
    if asked.rate is not None and not 0 <= asked.rate <= RATE_MAX:
        raise QueryError(
            f"a rate of {asked.rate} is not possible", where="rate", mend=f"1 to {RATE_MAX}, 0 for no limit"
        )
    if asked.ports:
        parse(asked.ports, udp=asked.udp)
    hosts_max = HOSTS_LARGE_MAX if asked.large else 4_096
    expand(asked.targets, lambda _name: ["127.0.0.1"], permitted=asked.permitted, hosts_max=hosts_max)
    checked: dict[str, Any] = msgspec.to_builtins(asked)
    return checked


SPEC: Final = JobSpec(kind="scan", module="nsm.run.jobs.scan", check=check, raw_sockets=True, limit_s=24 * 3_600.0)
STOPPING: Final = threading.Event()
PROGRESS_S: Final = 0.5


def work(task: dict[str, Any], tell: Teller) -> Done:
    """Scan, keep it, and say what changed."""
    from nsm.model.scan import ScanState
    from nsm.scan.announcing import Announcer
    from nsm.scan.difference import difference
    from nsm.scan.findings import findings, risks_of_scan, summary
    from nsm.scan.fingerprint import identify_now
    from nsm.scan.journal import Request
    from nsm.scan.runner import Progress, Tools, begin, scan
    from nsm.scan.settings import SETTINGS
    from nsm.scan.targets import system_resolver
    from nsm.store.scans import ScanStore

    asked = msgspec.convert(task["task"], ScanTask)
    fields = {name: getattr(asked, name) for name in Request.__struct_fields__}
    told = Announcer(
        f"job {task['job']}",
        asked.targets,
        system_resolver,
        lambda header: tell.news("own_scan", header),
        time.monotonic,
    )

    last = -PROGRESS_S
    store = ScanStore(Path(task["data"]))

    def progress(now: Progress) -> None:
        nonlocal last
        told.tell()
        if time.monotonic() - last >= PROGRESS_S:
            last = time.monotonic()
            tell.progress(msgspec.to_builtins(now))

    settings = settings_of(task, (SETTINGS,)).section("scan")
    tools = Tools(
        resolve=told.resolve, stopping=STOPPING.is_set, progress=progress,
        identify=lambda ports: identify_now(ports, consents=frozenset(asked.checks)),
        seen=lambda: store.hosts_seen(time.time_ns() // 1_000),
    )  # fmt: skip
    request = Request(**fields)
    begun = begin(request, settings, tools)
    told.tell()  # before the first packet leaves
    found = scan(request, settings, tools, resumed=begun)
    store.save(found, task["who"])
    opened = sum(port.state == "open" for port in found.found)
    text = f"{opened} open ports on {len(found.hosts)} hosts"
    result: dict[str, Any] = {"scan": found.id, "open": opened, "hosts": len(found.hosts), "findings": []}
    if found.state == ScanState.COMPLETE:
        earlier = store.complete_before(found.started)
        changes = difference(found, earlier)
        known = risks_of_scan(earlier[0]) if earlier else frozenset()
        result |= {
            "changes": len(changes),
            "findings": [msgspec.to_builtins(one) for one in findings(found, changes, known)],
        }
        if earlier:
            text += f"; {summary(changes)}"
    store.close()
    return text, result


if __name__ == "__main__":
    run_job("scan", work, STOPPING.set)
