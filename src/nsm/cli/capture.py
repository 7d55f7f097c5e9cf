"""``nsm capture``: packets of an interface to a file, nothing else."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from nsm.cli import errors
from nsm.cli.context import Context, stopping

if TYPE_CHECKING:
    from nsm.capture.source import Source
    from nsm.capture.writing import CaptureWriter, Rotation

UNITS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
SPANS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
NOTE_EVERY_S: Final = 1.0


def size(text: str) -> int:
    """Bytes of 500k, 100M, 2G."""
    match = re.fullmatch(r"(\d{1,15})([kmg]?)b?", text.lower())
    if not match or not int(match[1]):
        raise click.BadParameter(f"{text} is no size: 500k, 100M, 2G")
    return int(match[1]) * UNITS[match[2]]


def span(text: str) -> float:
    """Seconds of 30s, 10m, 24h."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", text.lower())
    if not match or not float(match[1]):
        raise click.BadParameter(f"{text} is no time: 30s, 10m, 24h")
    return float(match[1]) * SPANS[match[2]]


def ring(text: str) -> tuple[int, int]:
    """(files, bytes of each) of 10x100M."""
    files, times, each = text.lower().partition("x")
    if not times or not re.fullmatch(r"[0-9]{1,5}", files) or not int(files):
        raise click.BadParameter(f"{text} is no ring: 10x100M keeps the last 10 files of 100 MB")
    return int(files), size(each)


@click.command(
    "capture",
    short_help="Write packets of an interface to a file.",
    epilog="\b\nExamples:\n"
    "  sudo nsm capture -i eth0 -w out.pcapng --for 10m\n"
    "  sudo nsm capture -i eth0 -w out.pcap --filter 'tcp port 443' --count 1000\n"
    "  sudo nsm capture -i eth0 -w out.pcapng --ring 10x100M      the last gigabyte\n"
    "  nsm capture -r in.pcapng.gz -w out.pcap --filter udp       convert or filter a file\n\n"
    "Files of a series are named out.00001.pcapng and so on. Ctrl-C ends it; the file is whole.",
)
@click.option("-i", "--interface", metavar="NAME", help="Interface; else the one of the default route.")
@click.option("-r", "--read", "source_file", metavar="FILE", help="Take packets from a capture file instead.")
@click.option("-w", "--write", "path", metavar="FILE", required=True, help="File to write; replaced when it is there.")
@click.option("--format", "form", type=click.Choice(["pcap", "pcapng"]), help="Else by the name: .pcap is pcap.")
@click.option("--for", "seconds", type=span, metavar="TIME", help="Stop after this time: 30s, 10m, 24h.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many packets.")
@click.option("--size", "octets", type=size, metavar="SIZE", help="Stop before the files are larger: 500k, 100M, 2G.")
@click.option("--filter", "bpf", metavar="BPF", default="", help="Only packets that match, as for tcpdump.")
@click.option("--snaplen", type=click.IntRange(1, 262_144), help="Keep only the first bytes of each packet.")
@click.option("--ring", type=ring, metavar="NxSIZE", help="Keep the last N files of SIZE: 10x100M.")
@click.option("--rotate-size", type=size, metavar="SIZE", help="Begin a new file at this size.")
@click.option("--rotate-time", type=span, metavar="TIME", help="Begin a new file after this time.")
@click.option("--rotate-count", type=click.IntRange(1), metavar="N", help="Begin a new file after N packets.")
@click.pass_obj
def command(context: Context, /, path: str, **options: Any) -> None:
    """Write packets to pcap or pcapng files, with nanoseconds.

    Packets that the kernel had to drop are counted and said (exit code 6).
    """
    if options["interface"] and options["source_file"]:
        raise click.UsageError("take -i or -r, not both", click.get_current_context())
    if options["ring"] and options["rotate_size"]:
        raise click.UsageError("--ring has the size of its files", click.get_current_context())
    from nsm.kernels.cache import cold

    if cold():
        context.note("compiling kernels, once, about 15 s")
    source, interface, link = _source(options)
    stopped: list[int] = []
    try:
        with stopping(stopped), _writer(path, interface, link, options) as writer:
            fault = _copy(context, source, writer, options["seconds"], stopped)
    finally:
        drops = source.counters().drops if options["interface"] else 0
        source.close()
    _report(context, drops, writer, path)
    if fault is not None:
        errors.show_error(fault)
        raise click.exceptions.Exit(errors.PARTIAL if writer.packets else errors.exit_code(fault))
    if stopped and stopped[0] == signal.SIGINT:
        raise click.exceptions.Exit(errors.INTERRUPTED)
    if drops:
        raise click.exceptions.Exit(errors.PARTIAL)


def _source(options: dict[str, Any]) -> tuple[Source, str, int]:
    """(source, name of the interface, link type); CaptureError when it cannot be opened."""
    from nsm.capture.filtered import filtered
    from nsm.capture.reading import open_capture

    if options["source_file"]:
        return filtered(open_capture(options["source_file"]), options["bpf"]), "", 1
    from nsm.capture.afpacket import RingSource
    from nsm.capture.interfaces import default_interface
    from nsm.capture.packet_socket import link_of, open_socket
    from nsm.capture.settings import CaptureSettings
    from nsm.errors import CaptureError

    interface = options["interface"] or default_interface()
    if interface is None:
        raise CaptureError("there is no interface to capture on", where="/sys/class/net", mend="nsm capture -i NAME")
    options["interface"] = interface
    settings = CaptureSettings(filter=options["bpf"])
    # The link is asked for first: its error names the interfaces that there are.
    link = link_of(interface)
    return RingSource(open_socket(interface, settings), interface, settings), interface, link


def _rotation(options: dict[str, Any]) -> Rotation:
    from nsm.capture.writing import Rotation

    files, size = options["ring"] or (0, options["rotate_size"] or 0)
    return Rotation(size, options["rotate_time"] or 0.0, options["rotate_count"] or 0, files)


def _writer(path: str, interface: str, link: int, options: dict[str, Any]) -> CaptureWriter:
    from nsm.capture.writing import CaptureWriter

    form = options["form"] or ("pcap" if Path(path).suffix.lower() in {".pcap", ".cap", ".dmp"} else "pcapng")
    return CaptureWriter(
        path, form=form, rotation=_rotation(options), snaplen=options["snaplen"] or 0, interface=interface, link=link,
        packets_max=options["count"] or 0, octets_max=options["octets"] or 0,
    )  # fmt: skip


def _copy(
    context: Context, source: Source, writer: CaptureWriter, seconds: float | None, stopped: list[int]
) -> Exception | None:
    """Write until the source ends, a limit is reached or a signal comes; return what broke the source, if anything."""
    from nsm.capture.recording import record

    progress = sys.stderr.isatty() and not context.quiet
    noted = 0.0

    def step(lasted: float) -> None:
        nonlocal noted
        if progress and lasted - noted >= NOTE_EVERY_S:
            noted = lasted
            print(f"\r{writer.packets:,} packets, {writer.octets:,} bytes\x1b[K", end="", file=sys.stderr, flush=True)

    try:
        return record(source, writer, lambda: bool(stopped), step, seconds or 0.0)
    finally:
        if noted:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _report(context: Context, drops: int, writer: CaptureWriter, path: str) -> None:
    files = f"{writer.files} files from {path}" if writer.files > 1 else path
    context.note(f"{writer.packets:,} packets, {writer.octets:,} bytes: {files}")
    if drops:
        context.note(f"{drops:,} packets were dropped by the kernel before they could be written")
