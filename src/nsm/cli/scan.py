"""``nsm scan``: which hosts are up and which of their ports answer."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from nsm.cli import errors
from nsm.cli.context import Context, stopping
from nsm.cli.output import opened, output_options, write_rows

if TYPE_CHECKING:
    from nsm.model.scan import Scan, ScannedPort
    from nsm.scan.announcing import Announcer
    from nsm.scan.journal import Journal, Request
    from nsm.scan.runner import Progress

COLUMNS: Final = ("address", "name", "port", "state", "service", "product", "version", "reason", "ttl", "rtt_ms", "os")
PROGRESS_AFTER_S: Final = 0.5
PROGRESS_EVERY_S: Final = 0.2
NO_LIMIT: Final = 0


def rate(text: str) -> int:
    """Probes a second of a number, or of max."""
    if text.lower() == "max":
        return NO_LIMIT
    from nsm.scan.settings import RATE_MAX

    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= RATE_MAX):
        raise click.BadParameter(f"{text} is no rate: 1 to {RATE_MAX}, or max")
    return int(text)


@click.command(
    "scan",
    short_help="Hosts that are up, and their open ports.",
    epilog="\b\nExamples:\n"
    "  sudo nsm scan 192.168.1.0/24 --ports top100\n"
    "  nsm scan printer.lan --ports 1-65535 --method connect      no root needed\n"
    "  sudo nsm scan 10.0.0.7 --udp --ports T:22,80,U:53,161 --format json\n\n"
    "Scan what is yours. Anything outside the private networks needs the permission of its owner, which you state with "
    "--i-have-permission: without it a scan may be a crime.\n\n"
    "Ctrl-C ends it with what was found; --resume goes on from there. Exit codes: 0 all asked, 2 usage, 4 permission, 6 "
    "stopped before the end, 130 interrupted.",
)
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("-p", "--ports", metavar="PORTS", default="", help="1-1024,8080,top100,T:22,U:53; else scan.ports.")
@click.option("--udp", is_flag=True, help="UDP too: the same ports, or the 50 most common.")
@click.option("--rate", type=rate, metavar="N|max", help="Probes a second, to all and to each host.")
@click.option("--method", type=click.Choice(["syn", "connect"]), help="Else syn where raw sockets are allowed.")
@click.option("--no-discovery", is_flag=True, help="Take every target for up.")
@click.option("--i-have-permission", "permitted", is_flag=True, help="You may scan addresses that are not private.")
@click.option("--large", is_flag=True, help="More than 4,096 hosts.")
@click.option("--no-services", "services", flag_value=False, default=True, help="Ports only, not what speaks on them.")
@click.option(
    "--check", "checks", multiple=True, metavar="NAME", help="Allow a check that says a word like a password."
)
@click.option("--resume", metavar="FILE", help="Go on with the scan that was stopped.")
@output_options
@click.pass_obj
def command(
    context: Context, /, targets: tuple[str, ...], form: str, output_file: str | None, raw: bool, **options: Any
) -> None:
    """Find hosts and open ports of TARGETs: names, addresses or networks.

    Nothing is scanned that is not named. Without root TCP ports are tried by plain connections.
    """
    from nsm.scan.runner import Tools, begin, scan
    from nsm.scan.settings import SETTINGS

    resumed = _resumed(targets, options)
    settings = context.section(SETTINGS)
    stopped: list[int] = []
    shown = _progress(context)
    request = resumed.request if resumed else _request(targets, options)
    told = _announcer(context, request)

    def progress(now: Progress) -> None:
        told.tell()
        shown(now)

    tools = Tools(
        stopping=lambda: bool(stopped), progress=progress, warn=context.note, resolve=told.resolve,
        identify=_identify(options["checks"]) if options["services"] else None, seen=lambda: _seen(context),
    )  # fmt: skip
    begun = resumed or begin(request, settings, tools)
    path = Path(options["resume"]) if resumed else _journal_path(context, begun.id)
    told.tell()  # before the first packet leaves
    began = time.monotonic()
    try:
        with stopping(stopped):
            found = scan(request, settings, tools, journal=path, resumed=begun)
    finally:
        shown(None)
    _keep(context, found)
    with opened(output_file) as stream:
        write_rows(_rows(found), COLUMNS, form=form, to=stream, raw=raw, colour=context.colour)
    _report(context, found, time.monotonic() - began, request)
    if found.state == "partial":
        again = "sudo nsm scan" if found.options["method"] == "syn" else "nsm scan"
        if path is not None and path.exists():
            context.note(f"stopped before the end; to go on: {again} --resume {path}")
        interrupted = bool(stopped) and stopped[0] == signal.SIGINT
        raise click.exceptions.Exit(errors.INTERRUPTED if interrupted else errors.PARTIAL)


def _request(targets: tuple[str, ...], options: dict[str, Any]) -> Request:
    from nsm.scan.journal import Request

    if not targets:
        raise click.UsageError("name what to scan: a host, an address or a network", click.get_current_context())
    return Request(
        targets, options["ports"], options["udp"], options["rate"], options["method"] or "", not options["no_discovery"],
        options["permitted"], options["large"],
    )  # fmt: skip


def _resumed(targets: tuple[str, ...], options: dict[str, Any]) -> Journal | None:
    """The scan to go on with; its own targets and options hold."""
    if not options["resume"]:
        return None
    others = [name for name in ("ports", "udp", "rate", "method", "no_discovery", "large") if options[name]]
    if targets or others:
        raise click.UsageError("--resume has its own targets and options", click.get_current_context())
    from nsm.scan import journal as journals

    return journals.read(Path(options["resume"]))


def _identify(checks: tuple[str, ...]) -> Callable[[Sequence[ScannedPort]], list[ScannedPort]]:
    from nsm.scan.fingerprint import identify_now, known_consents

    unknown = set(checks) - known_consents()
    if unknown:
        raise click.BadParameter(f"there is no check {min(unknown)}; there are {', '.join(sorted(known_consents()))}")
    return lambda ports: identify_now(ports, consents=frozenset(checks))


def _announcer(context: Context, request: Request) -> Announcer:
    """Tells the service of this data directory, if one runs, that these packets are ours."""
    from nsm.errors import ServiceError
    from nsm.run.control import ask
    from nsm.scan.announcing import Announcer
    from nsm.scan.targets import system_resolver

    def say(header: dict[str, Any]) -> None:
        with contextlib.suppress(ServiceError):
            ask(context.data_dir(), "own_scan", 1.0, **header)

    return Announcer(f"cli {os.getpid()}", request.targets, system_resolver, say, time.monotonic)


def _seen(context: Context) -> frozenset[str]:
    """Hosts that the service of this data directory saw in the last hour; none where there is no store."""
    from nsm.errors import NsmError
    from nsm.store.scans import ScanStore

    with contextlib.suppress(NsmError), contextlib.closing(ScanStore(context.data_dir())) as store:
        return store.hosts_seen(time.time_ns() // 1_000)
    return frozenset()


def _keep(context: Context, found: Scan) -> None:
    """Keep the scan in the store, and say what changed since those before it."""
    from nsm.errors import NsmError
    from nsm.scan.difference import difference
    from nsm.store.scans import ScanStore

    try:
        store = ScanStore(context.data_dir())
        earlier = store.complete_before(found.started)
        store.save(found, "command line")
        store.close()
    except NsmError as error:
        context.note(f"the scan is not kept: {error}")
        return
    if found.state == "complete":
        for change in difference(found, earlier):
            context.note(f"changed: {change.text}")


def _journal_path(context: Context, number: str) -> Path | None:
    from nsm.errors import NsmError
    from nsm.settings.places import make_private

    folder = context.data_dir() / "scans"
    try:
        make_private(folder)
    except NsmError as error:
        context.note(f"{error}: this scan cannot be resumed")
        return None
    return folder / f"{number}.journal"


def _rows(found: Scan) -> Iterator[dict[str, Any]]:
    """A row for each port that is listed, and one for what the others of a host are."""
    by_host: dict[str, list[ScannedPort]] = {}
    for port in found.found:
        by_host.setdefault(port.address, []).append(port)
    for host in found.hosts:
        for port in by_host.get(host.address, ()):
            yield _row(port, host.name, host.os_hint)
        for state, number in host.counts.items():
            yield {
                "address": host.address, "name": host.name, "port": f"{number:,} more", "state": state, "count": number,
            }  # fmt: skip


def _row(port: ScannedPort, name: str, os: str) -> dict[str, Any]:
    import msgspec

    from nsm.iana import SERVICE_NAMES

    service = port.service
    row: dict[str, Any] = {
        "address": port.address, "name": name, "port": f"{port.port}/{port.proto}", "state": port.state.value,
        "service": service.name if service else SERVICE_NAMES.get(port.port, ""),
        "product": service.product if service else "", "version": service.version if service else "",
        "os": os, "reason": port.reason, "ttl": port.ttl or None, "tries": port.tries, "rtt_ms": port.rtt_ms,
    }  # fmt: skip
    if service:
        row["details"] = msgspec.to_builtins(service)
    return row


def _report(context: Context, found: Scan, seconds: float, request: Request) -> None:
    ports = sum(sum(host.counts.values()) for host in found.hosts) + len(found.found)
    opened_ports = sum(port.state == "open" for port in found.found)
    method = found.options["method"]
    why = "" if request.method or method == "syn" else " (no privilege for syn)"
    hosts = f"{len(found.hosts):,} host{'s' * (len(found.hosts) != 1)}"
    context.note(
        f"{opened_ports:,} open of {ports:,} ports on {hosts}; {found.sent:,} probes in {seconds:.{1 + (seconds < 10)}f} s, "
        f"loss {found.loss:.1%}, method {method}{why}"
    )


def _progress(context: Context) -> Callable[[Progress | None], None]:
    """Shows how far a scan is in one line of stderr; None takes the line away."""
    if context.quiet or not sys.stderr.isatty():
        return lambda _: None
    began = time.monotonic()
    last = [0.0]

    def show(progress: Progress | None) -> None:
        now = time.monotonic()
        if progress is None:
            if last[0]:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            return
        if now - began < PROGRESS_AFTER_S or now - last[0] < PROGRESS_EVERY_S:
            return
        last[0] = now
        share = f" {100 * progress.done // progress.total} %" if progress.done and progress.total else ""
        open_now = f", {progress.open:,} open" if progress.stage == "ports" else ""
        of = f" of {progress.hosts:,} hosts" if progress.hosts else f" of {progress.total:,} addresses"
        print(f"\rscanning {progress.stage}{of}{share}{open_now}\x1b[K", end="", file=sys.stderr, flush=True)

    return show
