"""The job "record": packets of an interface to a file that the service keeps, as ``nsm capture`` does."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import QueryError
from nsm.run.work import Done, JobSpec, Teller, run_job, settings_of

LIMIT_S: Final = 24 * 3_600.0
PROGRESS_S: Final = 0.5


class RecordTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person asks for, as of ``nsm capture``. ``seconds`` and ``bytes_max`` are cut down to the settings."""

    iface: str
    seconds: int = 60
    bytes_max: int = 100_000_000
    filter: str = ""
    snaplen: int = 262_144
    form: str = "pcapng"
    name: str = ""


def check(task: dict[str, Any]) -> dict[str, Any]:
    """The task with its defaults; NsmError for an interface that there is not, a wrong filter, impossible limits.

    The supervisor asks, which must stay small: nothing that holds kernels is imported here.
    """
    from nsm.capture.packet_socket import link_of, live_filter
    from nsm.capture.settings import SNAPLEN_MAX

    try:
        asked = msgspec.convert(task, RecordTask)
    except msgspec.ValidationError as error:
        raise QueryError(f"not a recording: {error}", where="task") from error
    if not asked.iface or "/" in asked.iface:
        raise QueryError("no interface is named", where="iface", mend="one of nsm status")
    if not 1 <= asked.seconds <= LIMIT_S:
        raise QueryError("a recording lasts a second to a day", where="seconds")
    if asked.bytes_max < 1_000:
        raise QueryError("a recording has at least 1,000 bytes", where="bytes_max")
    if not 64 <= asked.snaplen <= SNAPLEN_MAX:
        raise QueryError(f"of each packet 64 to {SNAPLEN_MAX} bytes are kept", where="snaplen")
    if asked.form not in ("pcap", "pcapng"):
        raise QueryError(f"there is no format {asked.form[:20]!r}", where="form", mend="pcap or pcapng")
    link = link_of(asked.iface)
    if asked.filter:
        live_filter(asked.filter, link)
    checked: dict[str, Any] = msgspec.to_builtins(asked)
    return checked


SPEC: Final = JobSpec(kind="record", module="nsm.run.jobs.record", check=check, raw_sockets=True, limit_s=LIMIT_S + 60)
STOPPING: Final = threading.Event()


def work(task: dict[str, Any], tell: Teller) -> Done:
    """Record until time, size, the disk or a person ends it; what was written is kept, whatever ended it."""
    from nsm.capture.afpacket import RingSource
    from nsm.capture.packet_socket import link_of, open_socket
    from nsm.capture.recording import record
    from nsm.capture.settings import CaptureSettings
    from nsm.capture.writing import CaptureWriter
    from nsm.errors import CaptureError, SinkError
    from nsm.run.privileges import drop_net_raw
    from nsm.store.captures import SETTINGS, CaptureShelf, Kept, label
    from nsm.store.folders import free_bytes

    asked = msgspec.convert(task["task"], RecordTask)
    limits = settings_of(task, (SETTINGS,)).section("captures")
    shelf = CaptureShelf(Path(task["data"]), limits)
    shelf.rescue()
    octets_max = min(asked.bytes_max, limits.record_bytes_max, shelf.room())
    seconds = min(asked.seconds, limits.record_seconds_max)
    capture = CaptureSettings(filter=asked.filter)
    source = RingSource(open_socket(asked.iface, capture), asked.iface, capture)
    drop_net_raw()
    number = shelf.new_id()
    why: list[str] = []
    told = -PROGRESS_S

    def step(lasted: float) -> None:
        nonlocal told
        if lasted - told < PROGRESS_S:
            return
        told = lasted
        if free_bytes(shelf.folder) < limits.free_min_bytes:
            why.append("stopped: the disk is short")
        tell.progress({
            "stage": "recording", "done": int(lasted), "total": seconds, "packets": writer.packets, "bytes": writer.octets,
        })  # fmt: skip

    writer = CaptureWriter(
        shelf.recording(number), form=asked.form, snaplen=asked.snaplen, interface=asked.iface,
        link=link_of(asked.iface), octets_max=octets_max,
    )  # fmt: skip
    fault: CaptureError | SinkError | None
    try:
        fault = record(source, writer, lambda: STOPPING.is_set() or bool(why), step, float(seconds))
        writer.close()
    except SinkError as error:
        fault = error
    finally:
        drops = source.counters().drops
        source.close()
    if fault is not None and not writer.packets:
        shelf.recording(number).unlink(missing_ok=True)
        raise fault
    note = str(fault) if fault is not None else "".join(why)
    kept = shelf.keep(
        Kept(
            id=number, name=label(asked.name, f"{asked.iface}-{number[:16]}.{asked.form}"), who=task["who"],
            made_us=int(time.time() * 1e6), form=asked.form, bytes=0, interface=asked.iface, filter=asked.filter,
            packets=writer.packets, drops=drops, note=note,
        ),
        shelf.recording(number),
    )  # fmt: skip
    text = f"{writer.packets:,} packets of {asked.iface}, {kept.bytes:,} bytes"
    text += f"; {drops:,} were dropped by the kernel" if drops else ""
    text += f"; {note}" if note else ""
    return text, {"capture": kept.id, "packets": writer.packets, "bytes": kept.bytes, "drops": drops}


if __name__ == "__main__":
    run_job("record", work, STOPPING.set)
