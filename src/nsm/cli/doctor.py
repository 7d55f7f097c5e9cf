"""``nsm doctor``: is this machine fit, and what mends it when it is not. One function a check."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from nsm.cli import errors, output
from nsm.cli.context import Context
from nsm.errors import NsmError

CAP_NET_RAW: Final = 13  # linux/capability.h
SYSTEMD: Final = Path("/run/systemd/system")  # sd_booted(3)
FREE_BYTES_MIN: Final = 2 << 30  # the store drops old data early below this, store/settings.py free_early_bytes


class Check(NamedTuple):
    """The outcome of one check. ``state``: ok, warn (something will not work), fail (nothing will).

    Of a running service also ``note`` (it works, and this should be known) and ``unknown`` (too little was seen yet).
    """

    name: str
    state: str
    found: str
    mend: str = ""


@click.command(name="doctor", short_help="Check this machine and say what mends it.")
@click.option("--warm", is_flag=True, help="Compile the kernels now (about 10 s, once).")
@click.option("--fix", is_flag=True, help="Make directories, compile kernels; as root also install the service.")
@click.option(
    "--self-test", is_flag=True, help="Send a marker packet where nobody else is, and see whether it is captured."
)
@output.output_options
@click.pass_obj
def command(
    context: Context, warm: bool, fix: bool, self_test: bool, form: str, output_file: str | None, raw: bool
) -> None:  # fmt: skip
    """Check this machine and say what mends it.

    \b
      nsm doctor                 permission, kernels, libraries, disk; of a running service: does it see enough?
      nsm doctor --self-test     is a packet that was surely sent also captured?
      nsm doctor --warm          compile the kernels now and nothing else
      nsm doctor --json          the same as JSON lines
    """
    if warm:
        warm_kernels(context)
        return
    if fix:
        from nsm.settings.places import make_private

        make_private(context.data_dir(), context.environ)
        warm_kernels(context)
        install_service(context)
    found = list(checks(context))
    if self_test:
        found.append(capture_works())
    rows: list[Mapping[str, Any]] = [check._asdict() for check in found]
    with output.opened(output_file) as stream:
        output.write_rows(rows, Check._fields, form=form, to=stream, raw=raw, colour=context.colour)
    if any(check.state == "fail" for check in found):
        raise click.exceptions.Exit(errors.SERVICE)


def checks(context: Context) -> Iterator[Check]:
    """The outcome of every check."""
    yield python()
    yield kernels(context)
    yield permission()
    yield libpcap()
    yield data(context.data_dir())
    yield disk(context.data_dir())
    yield configuration(context)
    yield echoes()
    yield from list(service(context.data_dir())) or clock()


def python() -> Check:
    """Python's version; the package cannot be installed on an older one, so this is for the record."""
    return Check("python", "ok", sys.version.split()[0])


def kernels(context: Context) -> Check:
    """Is there a safe place for compiled kernels, and are they compiled?"""
    from nsm.kernels.cache import cache_directory, candidates

    place = Path(cache_directory())
    if not any(place.is_relative_to(candidate) for candidate in candidates()):
        return Check("kernel cache", "warn", "no safe directory: compiled at each start", "set NSM_CACHE_DIR")
    if not any(place.rglob("*.nbc")):  # the machine code that Numba keeps
        return Check("kernel cache", "warn", f"empty, the first start will be slow: {place}", "nsm doctor --warm")
    return Check("kernel cache", "ok", str(place))


def permission() -> Check:
    """May this process open a capture socket? Read from the kernel, not tried."""
    if has_capability(Path("/proc/self/status"), CAP_NET_RAW):
        return Check("capture", "ok", "may capture (CAP_NET_RAW)")
    return Check("capture", "warn", f"uid {os.getuid()} may read files but not capture", "sudo nsm run")


def has_capability(status: Path, number: int) -> bool:
    """Whether the effective set in a ``/proc/PID/status`` has a capability; False where there is no such file."""
    try:
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
    except (OSError, ValueError, IndexError):
        return False
    return False


def libpcap() -> Check:
    """Is libpcap there? Needed for capture filters; capture itself does without on Linux."""
    from ctypes.util import find_library

    if name := find_library("pcap"):
        return Check("libpcap", "ok", name)
    return Check("libpcap", "warn", "missing: no capture filters", "sudo apt install libpcap0.8")


def data(directory: Path) -> Check:
    """Can store and logs be written?"""
    nearest = next(part for part in (directory, *directory.parents) if part.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Check("data", "fail", f"{nearest} cannot be written", "name another directory with --data")
    if nearest != directory:
        return Check("data", "ok", f"{directory} (made at the first start)")
    if directory.stat().st_mode & 0o022:
        return Check("data", "fail", f"{directory} can be written by other users", f"chmod 700 {directory}")
    return Check("data", "ok", str(directory))


def disk(directory: Path) -> Check:
    """Is there room for the store?"""
    nearest = next(part for part in (directory, *directory.parents) if part.exists())
    free = shutil.disk_usage(nearest).free
    state = "ok" if free >= FREE_BYTES_MIN else "warn"
    return Check("disk", state, f"{free / 2**30:.1f} GiB free", "" if state == "ok" else "name another --data")


def configuration(context: Context) -> Check:
    """Is the configuration free of faults?"""
    try:
        settings = context.settings()
        settings.check()
    except NsmError as error:
        return Check("configuration", "fail", f"{error} ({error.where})", error.mend)
    return Check("configuration", "ok", f"{len(settings.fields)} settings, hash {settings.hash()}")


def echoes() -> Check:
    """How are gateway and resolver probed?"""
    from nsm.health.ping import DATAGRAM, open_echo, open_raw

    raw = open_raw(4)
    way = open_echo(4, raw)
    for sock in (raw, way.sock if way is not None else None):
        if sock is not None:
            sock.close()
    if way is None:
        mend = 'sudo sysctl -w net.ipv4.ping_group_range="0 2147483647"   or   sudo nsm run'
        return Check("probes", "warn", "no ICMP allowed: probes are TCP connects (443, 53, 80)", mend)
    return Check("probes", "ok", "ICMP datagram socket" if way.method == DATAGRAM else "ICMP raw socket (CAP_NET_RAW)")


def clock() -> Iterator[Check]:
    """Is the clock right? While a service runs, it says so itself."""
    from nsm.health import working
    from nsm.health.machine import read_clock

    found = read_clock()
    if found is not None:
        facts = working.Facts(capture="", clock_synchronised=found.synchronised, clock_offset_s=found.offset_s)
        for one in working.clock(facts):
            yield Check("clock", one.state, one.text, one.mend)


def service(directory: Path) -> Iterator[Check]:
    """What a running service says of what it sees; nothing when none runs."""
    from nsm.run.control import ask

    try:
        verdicts = ask(directory, "health", timeout_s=3.0)["figures"].get("verdicts", [])
    except (NsmError, KeyError):
        return
    for one in verdicts:
        yield Check(f"service: {one['id']}", one["state"], one["text"], one["mend"])


def capture_works() -> Check:
    """Is a marker packet seen by a capture?"""
    from nsm.run.self_test import self_test

    outcome = self_test()
    return Check("self-test", outcome.state, outcome.found, outcome.mend)


def warm_kernels(context: Context) -> None:
    """Compile every kernel that is not in the cache; one line each on stderr."""
    from nsm.kernels.warm import warm

    warm(lambda text: context.note(f"  {text}"))


def install_service(context: Context) -> None:
    """As root, where systemd runs: the unit, with the one capability that capturing needs."""
    if os.geteuid() or not SYSTEMD.is_dir():
        return
    from nsm.run.unit import install

    path = install(Path(sys.argv[0]).resolve())
    context.note(f"service installed: {path}   start it: sudo systemctl enable --now nsm   its link: journalctl -u nsm")
