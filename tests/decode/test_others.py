"""Decoding beside Scapy and dpkt: every packet of captures of many origins and link types.

What is compared is the outermost IP header and what follows it: addresses, protocol, ports, length of the payload.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nsm.capture.reading import open_capture
from nsm.decode.rows import Decoder
from nsm.decode.settings import DecodeSettings
from nsm.errors import CaptureError
from tests.kernels.feeding import row_at
from tests.kernels.naive import FRAGMENT, Row

PACKETS_MAX = 300  # of one capture
PER_LINK = 12  # captures of one link type
LINKS = {0: "Loopback", 1: "Ether", 12: "IP", 101: "IP", 113: "CookedLinux", 228: "IP", 276: "CookedLinuxV2"}

pytestmark = pytest.mark.slow
Told = tuple[str, str, int, int, int, int]  # source, destination, protocol, ports, payload bytes


def rows_of(path: Path) -> Iterator[tuple[int, bytes, int, list[Row]]]:
    """(link, frame, length on the wire, rows) of the first packets of a capture."""
    source = open_capture(path, 100)
    decoder = Decoder(DecodeSettings(), 4_096, 0)
    seen = 0
    try:
        for batch in source.batches():
            decoder.decode(batch, 0)
            rows: dict[int, list[Row]] = {}
            for i in range(decoder.rows.count):
                rows.setdefault(int(decoder.rows.pkt[i]), []).append(row_at(decoder.rows, i))
            for i in range(batch.count):
                yield int(batch.links[i]), batch.packet(i), int(batch.wirelen[i]), rows[i]
            seen += batch.count
            if seen >= PACKETS_MAX:
                return
    except CaptureError:
        return  # some captures of the corpus are cut on purpose
    finally:
        source.close()


@pytest.fixture(scope="module")
def captures(corpus: Path) -> dict[int, list[Path]]:
    """Link type -> some captures of it, from all over the corpus."""
    found: dict[int, list[Path]] = {}
    names = sorted(path for path in corpus.rglob("*") if path.suffix in {".pcap", ".pcapng", ".cap"} and path.is_file())
    for path in names[:: max(1, len(names) // 400)]:
        try:
            source = open_capture(path, 1)
        except CaptureError:
            continue
        batch = next(source.batches(), None)
        link = int(batch.links[0]) if batch is not None and batch.count else -1
        source.close()
        if link in LINKS and len(found.setdefault(link, [])) < PER_LINK:
            found[link].append(path)
    return found


def comparable(frame: bytes, wire: int, rows: list[Row]) -> Row | None:
    """The outermost row, where comparing makes sense: captured whole, no fragment, nothing wrong with it."""
    row = rows[0]
    if row.kind not in ("flow", "outer") or len(frame) < wire or row.bad or row.iplen == 0:
        return None
    return row if FRAGMENT not in row.bad else None


def ours(row: Row) -> Told:
    import ipaddress

    texts = [str(ipaddress.ip_address(end[12:] if row.version == 4 else end)) for end in (row.src, row.dst)]
    ports = (row.sport, row.dport) if row.proto in (6, 17) else (0, 0)
    return texts[0], texts[1], row.proto, *ports, row.plen if row.proto in (6, 17) else 0


def by_scapy(link: int, frame: bytes) -> Told | None:
    """What Scapy says; None where it sees no IP header."""
    from scapy.all import IP, TCP, UDP, CookedLinux, CookedLinuxV2, Ether, IPv6, Loopback

    kinds: dict[str, Any] = {
        "Ether": Ether, "IP": IP if frame[:1] and frame[0] >> 4 == 4 else IPv6, "Loopback": Loopback,
        "CookedLinux": CookedLinux, "CookedLinuxV2": CookedLinuxV2,
    }  # fmt: skip
    layer: Any = kinds[LINKS[link]](frame)
    while layer and layer.name not in ("IP", "IPv6"):
        layer = layer.payload
    if not layer:
        return None
    head = layer
    inner = layer.payload
    while inner.name.startswith("IPv6 Extension"):
        inner = inner.payload
    if head.name == "IP":
        proto, end = head.proto, head.len or len(head.original)
        begin = head.ihl * 4
    else:
        proto, end, begin = {"TCP": 6, "UDP": 17}.get(inner.name, -1), (head.plen or len(head.original) - 40) + 40, 0
        begin = len(head.original) - len(inner.original) if inner else 40
    if isinstance(inner, TCP):
        return head.src, head.dst, proto, inner.sport, inner.dport, end - begin - inner.dataofs * 4
    if isinstance(inner, UDP):
        return head.src, head.dst, proto, inner.sport, inner.dport, end - begin - 8
    return head.src, head.dst, proto, 0, 0, 0


def by_dpkt(frame: bytes) -> Told | None:
    """What dpkt says of an Ethernet frame; None where it sees no IP header, or gives up."""
    import socket

    import dpkt

    try:
        data = dpkt.ethernet.Ethernet(frame).data
    except (dpkt.UnpackError, AttributeError, TypeError, IndexError, ValueError):
        return None
    if isinstance(data, dpkt.ip.IP):
        src, dst, proto = socket.inet_ntoa(data.src), socket.inet_ntoa(data.dst), data.p
    elif isinstance(data, dpkt.ip6.IP6):
        src, dst = (socket.inet_ntop(socket.AF_INET6, end) for end in (data.src, data.dst))
        proto = data.p
    else:
        return None
    inner = data.data
    if isinstance(inner, dpkt.tcp.TCP | dpkt.udp.UDP):
        return src, dst, proto, inner.sport, inner.dport, -1
    return src, dst, proto, 0, 0, -1


def canonical(told: Told) -> Told:
    import ipaddress

    src, dst = (str(ipaddress.ip_address(end)) for end in told[:2])
    return src, dst, *told[2:]


def test_scapy_says_the_same(captures: dict[int, list[Path]]) -> None:
    compared, different = 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Scapy warns of packets that it cannot take apart
        for link, paths in captures.items():
            for path in paths:
                for kind, frame, wire, rows in rows_of(path):
                    row = comparable(frame, wire, rows)
                    if row is None or kind != link:
                        continue
                    told = by_scapy(link, frame)
                    mine = ours(row)
                    if told is None or told[2] == -1:
                        continue
                    compared += 1
                    # Without ports Scapy saw no TCP or UDP header there: it takes what a tunnel carries for one layer.
                    if canonical(told) != mine and not (told[3:] == (0, 0, 0) and canonical(told)[:3] == mine[:3]):
                        different.append((path.name, told, mine))
    assert different == []
    assert compared > 1_500
    assert sum(map(len, captures.values())) >= 20


def test_dpkt_says_the_same(captures: dict[int, list[Path]]) -> None:
    compared, different = 0, []
    for path in captures[1]:
        for kind, frame, wire, rows in rows_of(path):
            row = comparable(frame, wire, rows)
            told = by_dpkt(frame) if row is not None and kind == 1 else None
            if row is None or told is None:
                continue
            compared += 1
            mine = ours(row)
            if canonical(told)[:5] != mine[:5]:
                different.append((path.name, told, mine))
    assert different == []
    assert compared > 800
