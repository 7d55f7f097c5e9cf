"""Captures that are written: read back as they were, in turn by size, time and count, whole whatever happens."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.capture.reading import open_capture
from nsm.capture.writing import CaptureWriter, Rotation
from nsm.errors import SinkError
from nsm.model.batch import PacketBatch

Packet = tuple[int, bytes, int]  # ns, captured bytes, bytes on the wire
FRAME = bytes(range(12)) + b"\x08\x00" + bytes(46)


def batch_of(packets: list[Packet], *, link: int = 1, vlan: int = 0) -> PacketBatch:
    data = np.frombuffer(bytearray(b"".join(data for _, data, _ in packets) or b"\0"), np.uint8)
    batch = PacketBatch(data, max(1, len(packets)))
    at = 0
    for row, (ts, frame, wire) in enumerate(packets):
        batch.ts_ns[row], batch.offset[row], batch.caplen[row], batch.wirelen[row] = ts, at, len(frame), wire
        at += len(frame)
    batch.links[:], batch.vlan[:], batch.count = link, vlan, len(packets)
    return batch


def packets_of(path: Path) -> list[Packet]:
    source = open_capture(path)
    found = [
        (int(batch.ts_ns[row]), batch.packet(row), int(batch.wirelen[row]))
        for batch in source.batches()
        for row in range(batch.count)
    ]
    source.close()
    return found


def many(count: int, step_ns: int = 1_000) -> list[Packet]:
    return [(1_700_000_000_000_000_000 + number * step_ns, FRAME, 60) for number in range(count)]


packets = st.lists(
    st.tuples(st.integers(0, (1 << 32) * 10**9 - 1), st.binary(max_size=90), st.integers(0, 70_000)).map(
        lambda item: (item[0], item[1], max(item[2], len(item[1])))
    ),
    max_size=20,
)


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
@given(packets=packets)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, form: str, packets: list[Packet]
) -> None:
    path = tmp_path_factory.mktemp("written") / f"a.{form}"
    with CaptureWriter(path, form=form) as writer:
        if packets:
            writer.write(batch_of(packets))
    assert packets_of(path) == packets
    assert writer.packets == len(packets)
    assert writer.octets == path.stat().st_size


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
@given(size=st.integers(0, 30), snaplen=st.integers(1, 40), tag=st.integers(1, 4095))
def test_a_tag_that_the_kernel_took_out_is_put_back_and_then_cut(
    tmp_path_factory: pytest.TempPathFactory, form: str, size: int, snaplen: int, tag: int
) -> None:
    path = tmp_path_factory.mktemp("tagged") / "a"
    frame = FRAME[:size]
    with CaptureWriter(path, form=form, snaplen=snaplen) as writer:
        writer.write(batch_of([(1, frame, 64)], vlan=tag + 0x1000))
    inserted = struct.pack(">HH", 0x8100, tag) if size >= 12 else b""
    expected = (frame[:12] + inserted + frame[12:])[:snaplen]
    assert packets_of(path) == [(1, expected, 64)]  # the wire's length counts the tag already


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_other_programs_can_read_it(tmp_path: Path, form: str) -> None:
    import dpkt

    path = tmp_path / "a"
    with CaptureWriter(path, form=form, interface="eth0") as writer:
        writer.write(batch_of(many(3)))
    with path.open("rb") as file:
        reader = dpkt.pcap.Reader(file) if form == "pcap" else dpkt.pcapng.Reader(file)
        found = [(float(ts), bytes(frame)) for ts, frame in reader]
    assert [frame for _, frame in found] == [FRAME] * 3
    assert found[2][0] == pytest.approx(1_700_000_000.000002, abs=1e-6)


def test_the_interface_has_its_name_in_a_pcapng(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a", form="pcapng", interface="eth0") as writer:
        writer.write(batch_of(many(1)))
    source = open_capture(tmp_path / "a")
    assert sum(batch.count for batch in source.batches()) == 1
    assert source.interfaces == ("eth0",)
    source.close()


def test_a_capture_without_packets_is_one(tmp_path: Path) -> None:
    CaptureWriter(tmp_path / "a").close()
    assert packets_of(tmp_path / "a") == []


@pytest.mark.parametrize(
    ("rotation", "sizes"),
    [
        (Rotation(packets=4), [4, 4, 2]),
        (Rotation(file_bytes=24 + 3 * 76), [3, 3, 3, 1]),
        (Rotation(file_bytes=1), [1] * 10),
        (Rotation(seconds=3e-6), [3, 3, 3, 1]),
        (Rotation(packets=5, seconds=3e-6), [3, 3, 3, 1]),
    ],
    ids=["count", "size", "size below one packet", "time", "time before count"],
)
def test_a_new_file_is_begun_at_the_limit(tmp_path: Path, rotation: Rotation, sizes: list[int]) -> None:
    with CaptureWriter(tmp_path / "a.pcap", rotation=rotation) as writer:
        for part in (many(10)[:5], many(10)[5:]):
            writer.write(batch_of(part))
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == [f"a.{number + 1:05d}.pcap" for number in range(len(sizes))]
    assert [len(packets_of(path)) for path in files] == sizes
    assert [packet for path in files for packet in packets_of(path)] == many(10)


def test_of_a_ring_only_the_newest_files_stay(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a.pcap", rotation=Rotation(packets=1, files=3)) as writer:
        writer.write(batch_of(many(10)))
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["a.00008.pcap", "a.00009.pcap", "a.00010.pcap"]
    assert [packet for path in files for packet in packets_of(path)] == many(10)[7:]


def test_it_stops_at_the_number_of_packets(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a", packets_max=7) as writer:
        for part in (many(10)[:5], many(10)[5:]):
            assert not writer.full
            writer.write(batch_of(part))
        assert writer.full
    assert packets_of(tmp_path / "a") == many(10)[:7]


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
@pytest.mark.parametrize("room", [0, 1, 75, 76, 77, 200, 999])
def test_a_full_disk_leaves_whole_records(tmp_path: Path, form: str, room: int) -> None:
    left = [room]

    def disk(fd: int, data: Any) -> int:
        if len(data) <= 200 and os.fstat(fd).st_size == 0:
            return os.write(fd, data)  # the header
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = os.write(fd, data[: left[0]])
        left[0] -= count
        return count

    writer = CaptureWriter(tmp_path / "a", form=form, written=disk)
    with pytest.raises(SinkError, match="no space left on device") as caught:
        writer.write(batch_of(many(100)))
    writer.close()
    record = 76 if form == "pcap" else 92
    assert packets_of(tmp_path / "a") == many(100)[: room // record]
    assert caught.value.where.startswith(f"{room // record} packets")
    assert writer.packets == room // record


def test_a_folder_that_is_not_there_is_said_before_any_packet(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write .*no such file"):
        CaptureWriter(tmp_path / "none" / "a").close()


def test_two_link_types_do_not_go_into_one_file(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "a")
    writer.write(batch_of(many(2)))
    with pytest.raises(SinkError, match="link types 1 and 101"):
        writer.write(batch_of(many(2), link=101))
    writer.close()
    assert packets_of(tmp_path / "a") == many(2)


@given(octets_max=st.integers(1, 2_000), form=st.sampled_from(["pcap", "pcapng"]), files=st.booleans())
def test_all_files_together_stay_below_their_bound_and_are_whole(
    tmp_path_factory: pytest.TempPathFactory, octets_max: int, form: str, files: bool
) -> None:
    folder = tmp_path_factory.mktemp("bound")
    rotation = Rotation(packets=3) if files else Rotation()
    with CaptureWriter(folder / "a.x", form=form, rotation=rotation, octets_max=octets_max) as writer:
        for at in range(0, 20, 5):
            writer.write(batch_of(many(20)[at : at + 5]))
    heads = writer.octets - sum(len(packets_of(path)) * (76 if form == "pcap" else 92) for path in folder.iterdir())
    assert writer.packets == sum(len(packets_of(path)) for path in folder.iterdir())
    assert writer.octets <= max(octets_max, heads)
    assert writer.full == (writer.packets < 20)
