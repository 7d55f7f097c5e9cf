"""Capture filters on files: the kernel accepts exactly what libpcap's own interpreter accepts."""

from __future__ import annotations

import ctypes
import ctypes.util
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nsm.capture.bpf import _Instruction, _library, _Program, compile_filter
from nsm.capture.filtered import filtered
from nsm.capture.reading import open_capture
from nsm.errors import CaptureError
from nsm.kernels.bpf import select
from nsm.model.batch import PacketBatch

if not ctypes.util.find_library("pcap"):
    pytest.skip("needs libpcap: apt install libpcap0.8", allow_module_level=True)

EXPRESSIONS = (
    "tcp", "udp port 53", "ip6", "not ip", "arp or icmp", "host 10.0.0.1", "net 192.168.0.0/16 and not port 443",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "ip[6:2] & 0x1fff != 0", "greater 200", "less 80", "vlan",
    "vlan 10 and udp", "ether broadcast", "ether[0] & 1 = 1", "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    "ip proto 47", "src portrange 1000-2000", "ip[2:2] - ip[8] * 3 > 100", "udp[4:2] / 2 < 40", "ip[8] % 7 = 1",
    "len > 100 and len <= 1500", "multicast", "icmp6", "ip[0] & 0xf != 5", "icmp[0] = 8 or icmp[0] = 0",
)  # fmt: skip


class Header(ctypes.Structure):
    """struct pcap_pkthdr."""

    _fields_ = (
        ("seconds", ctypes.c_long), ("part", ctypes.c_long), ("caplen", ctypes.c_uint32), ("len", ctypes.c_uint32),
    )  # type: ignore[mutable-override]  # ctypes wants it so  # fmt: skip


def instructions(program: Any) -> Any:
    """The program as libpcap holds it."""
    return (_Instruction * len(program))(*[_Instruction(*map(int, row)) for row in program])


def accepted_by_libpcap(program: Any, packets: list[tuple[bytes, int]]) -> list[bool]:
    """What pcap_offline_filter says of each packet."""
    library = _library()
    library.pcap_offline_filter.argtypes = [ctypes.POINTER(_Program), ctypes.POINTER(Header), ctypes.c_char_p]
    library.pcap_offline_filter.restype = ctypes.c_int
    rows = instructions(program)
    made = ctypes.byref(_Program(len(program), ctypes.cast(rows, ctypes.POINTER(_Instruction))))
    accepts = library.pcap_offline_filter
    return [bool(accepts(made, ctypes.byref(Header(0, 0, len(data), wire)), data)) for data, wire in packets]


def accepted_by_kernel(program: Any, packets: list[tuple[bytes, int]]) -> list[bool]:
    """What ``select`` says of each; the frames lie one behind the other, so that a read beyond one finds the next."""
    data = np.frombuffer(bytearray(b"".join(frame for frame, _ in packets) + b"\xaa" * 64), np.uint8)
    batch = PacketBatch(data, max(1, len(packets)))
    at = 0
    for row, (frame, wire) in enumerate(packets):
        batch.ts_ns[row], batch.offset[row], batch.caplen[row], batch.wirelen[row] = row, at, len(frame), wire
        at += len(frame)
    kept = int(select(program.reshape(-1), np.zeros(16, np.int64), data, *batch.columns, 0, len(packets), 0))
    found = set(batch.ts_ns[:kept].tolist())
    return [row in found for row in range(len(packets))]


def agree(program: Any, packets: list[tuple[bytes, int]]) -> None:
    assert accepted_by_kernel(program, packets) == accepted_by_libpcap(program, packets)


@pytest.fixture(scope="module")
def packets(corpus: Path) -> list[tuple[bytes, int]]:
    """Some Ethernet packets of every tenth small capture, each also cut short."""
    found: list[tuple[bytes, int]] = []
    small = [path for path in sorted(corpus.rglob("*.pcap")) if path.stat().st_size < 100_000]
    for path in small[::10]:
        try:
            source = open_capture(path, 16)
            for batch in source.batches():
                if int(batch.links[0]) == 1:
                    found += [(batch.packet(row), int(batch.wirelen[row])) for row in range(batch.count)]
                break
            source.close()
        except CaptureError:
            continue
    found = found[:600]
    return found + [(frame[: 1 + number % 60], wire) for number, (frame, wire) in enumerate(found)]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_accepts_what_libpcap_accepts(packets: list[tuple[bytes, int]], expression: str) -> None:
    assert len(packets) > 300
    agree(compile_filter(expression), packets)


@given(st.sampled_from(EXPRESSIONS), st.lists(st.tuples(st.binary(max_size=80), st.integers(0, 2_000)), max_size=5))
def test_any_bytes_are_judged_alike(expression: str, packets: list[tuple[bytes, int]]) -> None:
    agree(compile_filter(expression), [(frame, max(wire, len(frame))) for frame, wire in packets])


LOADS = (0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x60, 0x80, 0xB1, 0x01, 0x61, 0x81)
STORES = (0x02, 0x03)
# libpcap ends the whole process at codes that it does not know: negation and the plain jump have no other operand.
ARITHMETIC = sorted({operation | source | 4 for operation in range(0x00, 0xB0, 0x10) for source in (0, 8)} - {0x8C})
JUMPS = sorted({operation | source | 5 for operation in range(0x00, 0x50, 0x10) for source in (0, 8)} - {0x0D})
OTHERS = (0x07, 0x87)
numbers = st.one_of(st.integers(0, 90), st.integers(0, 0xFFFFFFFF))


@st.composite
def programs(draw: st.DrawFn) -> Any:
    """A program as libpcap's validator lets through: jumps forward and inside, memory 0..15, no division by 0."""
    length = draw(st.integers(1, 12))
    rows = []
    for place in range(length - 1):
        code = draw(st.sampled_from((*LOADS, *STORES, *ARITHMETIC, *JUMPS, *OTHERS)))
        left = length - place - 2
        jt, jf = draw(st.integers(0, left)), draw(st.integers(0, left))
        k = draw(numbers)
        if code & 7 in {2, 3} or code & 0xE7 in {0x60, 0x61}:
            k &= 15
        elif code == 0x05:
            k = jt
        elif code & 0xF7 in {0x34, 0x94} and not code & 8:
            k = max(k, 1)
        elif code & 0xF7 in {0x64, 0x74} and not code & 8:
            k &= 31
        rows.append((code, jt, jf, k))
    rows.append(draw(st.sampled_from([(0x16, 0, 0, 0), (0x06, 0, 0, 1), (0x06, 0, 0, 0)])))
    # A program may not load what it did not store (Linux refuses it); here all memory is stored first.
    return np.array([(0x02, 0, 0, place) for place in range(16)] + rows, np.uint32)


@given(programs(), st.lists(st.tuples(st.binary(max_size=80), st.integers(0, 2_000)), min_size=1, max_size=4))
def test_any_program_is_run_alike(program: Any, packets: list[tuple[bytes, int]]) -> None:
    _library().bpf_validate.restype = ctypes.c_int
    rows = instructions(program)
    assume(_library().bpf_validate(rows, len(program)))
    agree(program, [(frame, max(wire, len(frame))) for frame, wire in packets])


def capture(path: Path, frames: list[bytes], link: int = 1) -> Path:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)
    path.write_bytes(data + b"".join(struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame for frame in frames))
    return path


def test_a_source_gives_only_what_passes_and_counts_it(tmp_path: Path) -> None:
    frames = [bytes(12) + kind + bytes([number]) * 40 for number, kind in enumerate([b"\x08\x06", b"\x86\xdd"] * 5)]
    source = filtered(open_capture(capture(tmp_path / "a", frames), 3), "arp")
    found = [(batch.first_number, batch.packet(row)) for batch in source.batches() for row in range(batch.count)]
    assert [frame for _, frame in found] == frames[::2]
    assert [first for first, _ in found] == [1, 1, 3, 4, 4]  # batches of 3 packets let 2, 1, 2, 0 through
    assert source.counters().packets == 5
    source.close()


def test_every_link_type_gets_a_program_of_its_own(tmp_path: Path) -> None:
    packet = bytes.fromhex("45000014000000004011000001020304050607 08".replace(" ", ""))
    source = filtered(open_capture(capture(tmp_path / "a", [packet], link=101)), "udp and src host 1.2.3.4")
    assert sum(batch.count for batch in source.batches()) == 1
    source.close()


@pytest.mark.parametrize("expression", ["nonsense here", "port", "host 300.1.1.1.1", "tcp port 99999", "\udcff"])
def test_a_wrong_filter_is_one_line(tmp_path: Path, expression: str) -> None:
    with pytest.raises(CaptureError) as caught:
        filtered(open_capture(capture(tmp_path / "a", [bytes(60)])), expression)
    assert str(caught.value).isprintable()
    assert "filter" in str(caught.value)
