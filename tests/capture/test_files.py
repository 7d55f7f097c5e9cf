"""Capture files in every form, and everything that is wrong with them: one line, and what was readable first."""

from __future__ import annotations

import gzip
import os
import struct
import threading
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from nsm.capture.reading import open_capture
from nsm.cli import main
from nsm.errors import CaptureError

Packet = tuple[int, bytes, int]  # ns, captured bytes, bytes on the wire
FRAMES = [bytes([number]) * (14 + number) for number in range(5)]
SECOND = 1_700_000_000


def pcap(*, order: str = "<", magic: int = 0xA1B2C3D4, extra: bytes = b"", link: int = 1, unit: int = 1_000) -> bytes:
    """The five frames, 7 us apart, 100 bytes more on the wire than captured."""
    data = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    for number, frame in enumerate(FRAMES):
        head = struct.pack(f"{order}IIII", SECOND + number, 7_000 * number // unit, len(frame), len(frame) + 100)
        data += head + extra + frame
    return data


EXPECTED = [((SECOND + n) * 10**9 + 7_000 * n, frame, len(frame) + 100) for n, frame in enumerate(FRAMES)]


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", *, link: int = 1, options: bytes = b"", snaplen: int = 0) -> bytes:
    return block(1, struct.pack(f"{order}HHI", link, 0, snaplen) + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(ticks: int, frame: bytes, order: str = "<", number: int = 0, wire: int | None = None) -> bytes:
    sizes = (len(frame), len(frame) if wire is None else wire)
    return block(6, struct.pack(f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, *sizes) + frame, order)


def packets_of(path: str | Path, rows: int = 2_048) -> list[Packet]:
    source = open_capture(path, rows)
    try:
        return [
            (int(batch.ts_ns[row]), batch.packet(row), int(batch.wirelen[row]))
            for batch in source.batches()
            for row in range(batch.count)
        ]
    finally:
        source.close()


def written(tmp_path: Path, data: bytes, name: str = "a.pcap") -> Path:
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def fault_of(path: str | Path) -> tuple[list[Packet], str]:
    """(what was readable, the one line)."""
    source, found = None, []
    try:
        source = open_capture(path)
        for batch in source.batches():
            found += [(int(batch.ts_ns[row]), batch.packet(row), int(batch.wirelen[row])) for row in range(batch.count)]
    except CaptureError as error:
        return found, str(error)
    finally:
        if source is not None:
            source.close()
    raise AssertionError("no fault")


@pytest.mark.parametrize("rows", [1, 2, 2_048])
@pytest.mark.parametrize(
    "data",
    [
        pcap(), pcap(order=">"), pcap(magic=0xA1B23C4D, unit=1), pcap(order=">", magic=0xA1B23C4D, unit=1),
        pcap(magic=0xA1B2CD34, extra=bytes(8)), pcap(order=">", magic=0xA1B2CD34, extra=bytes(8)),
    ],
    ids=["us", "us big-endian", "ns", "ns big-endian", "modified", "modified big-endian"],
)  # fmt: skip
def test_every_form_of_pcap(tmp_path: Path, data: bytes, rows: int) -> None:
    assert packets_of(written(tmp_path, data), rows) == EXPECTED


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("resolution", "ticks", "ns"),
    [
        (b"", 1_700_000_000_000_007, 1_700_000_000_000_007_000), (b"\x00", 1_700_000_000, 1_700_000_000 * 10**9),
        (b"\x03", 1_700_000_000_007, 1_700_000_000_007_000_000), (b"\x09", 7, 7), (b"\x0c", 7_999, 7),
        (b"\x81", 3, 1_500_000_000), (b"\x8a", 1_025, 1_000_976_562),
    ],
    ids=["default", "s", "ms", "ns", "ps", "half", "1/1024"],
)  # fmt: skip
def test_every_resolution_of_time(tmp_path: Path, order: str, resolution: bytes, ticks: int, ns: int) -> None:
    options = option(9, resolution, order) if resolution else b""
    offset = struct.pack(f"{order}q", 3_600)
    for more, shift in ((b"", 0), (option(14, offset, order), 3_600 * 10**9)):
        data = section(order) + interface(order, options=options + more) + enhanced(ticks, b"frame", order, wire=9)
        assert packets_of(written(tmp_path, data)) == [(ns + shift, b"frame", 9)]


def test_interfaces_keep_their_own_link_and_time_and_sections_begin_anew(tmp_path: Path) -> None:
    first = section("<") + interface(options=option(2, b"eth0"))
    first += interface(link=101, options=option(2, b"tun0") + option(9, b"\x09"))
    data = first + enhanced(5, b"one", number=1) + enhanced(5, b"two", number=0)
    data += section(">") + interface(">", link=113) + enhanced(6, b"three", ">")
    source = open_capture(written(tmp_path, data))
    found = [
        (int(batch.ts_ns[row]), batch.packet(row), int(batch.links[row]), int(batch.ifaces[row]))
        for batch in source.batches()
        for row in range(batch.count)
    ]
    source.close()
    assert found == [(5, b"one", 101, 1), (5_000, b"two", 1, 0), (6_000, b"three", 113, 2)]
    assert source.interfaces == ("eth0", "tun0", "")


def test_simple_and_obsolete_packet_blocks(tmp_path: Path) -> None:
    data = section() + interface(snaplen=4) + enhanced(9, b"full")
    data += block(3, struct.pack("<I", 6) + b"simp")  # its length is that of the wire; the snaplen cuts it
    data += block(2, struct.pack("<HHIIII", 0, 0xFFFF, 0, 11, 3, 3) + b"old")
    assert packets_of(written(tmp_path, data)) == [(9_000, b"full", 4), (9_000, b"simp", 6), (11_000, b"old", 3)]


def test_blocks_without_packets_are_stepped_over(tmp_path: Path) -> None:
    data = (
        section()
        + block(0x0BAD, bytes(400_000))
        + interface()
        + block(4, bytes(4))
        + enhanced(1, b"x")
        + block(5, bytes(12))
    )
    assert packets_of(written(tmp_path, data)) == [(1_000, b"x", 1)]


COMPRESSED = {
    "gzip": gzip.compress, "gzip members": lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:]),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "zstd frames": lambda data: b"".join(zstandard.ZstdCompressor().compress(part) for part in (data[:50], data[50:])),
    "lz4": lz4.frame.compress,
}  # fmt: skip


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("data", [pcap(), section() + interface() + enhanced(1, b"x")], ids=["pcap", "pcapng"])
def test_compressed_files_are_read_whatever_their_name(tmp_path: Path, kind: str, data: bytes) -> None:
    plain = packets_of(written(tmp_path, data))
    assert packets_of(written(tmp_path, COMPRESSED[kind](data), "a.txt")) == plain
    assert plain


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_compressed_file_that_is_cut_or_damaged_gives_what_was_readable(tmp_path: Path, kind: str) -> None:
    data = COMPRESSED[kind](pcap())
    for broken in (data[:-9], data[: len(data) - 20] + b"\xff" * 12 + data[len(data) - 8 :]):
        found, message = fault_of(written(tmp_path, broken, "a.gz"))
        assert found == EXPECTED[: len(found)]
        assert "a.gz" in message


def test_a_fifo_is_read_as_it_fills(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)

    def fill() -> None:
        with path.open("wb", buffering=0) as file:
            for byte in pcap():
                file.write(bytes([byte]))

    writer = threading.Thread(target=fill)
    writer.start()
    assert packets_of(path) == EXPECTED
    writer.join()


def test_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with written(tmp_path, pcap()).open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert packets_of("-") == EXPECTED


def test_frames_longer_than_offsets_reach_are_cut_and_counted(tmp_path: Path) -> None:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    data += struct.pack("<IIII", 1, 0, 100_000, 100_000) + b"x" * 100_000
    source = open_capture(written(tmp_path, data + data[24:]))
    assert [int(size) for batch in source.batches() for size in batch.caplen[: batch.count]] == [65_535, 65_535]
    assert source.counters().cut == 2
    source.close()


# What bad input gets: (bytes, packets that are readable, words of the line, exit code of ``nsm read``).
HEADER = pcap()[:24]
RECORD = pcap()[24 : 24 + 16 + 14]
NG = section() + interface()
BAD = {
    "empty": (b"", 0, "is not a capture: it is empty", 3),
    "text": (b"hello there\n", 0, "is not a capture: it looks like text", 3),
    "json": (b'{"a": 1}', 0, "is not a capture: it looks like JSON", 3),
    "program": (b"\x7fELF\2\1\1\0", 0, "is not a capture: it is a program", 3),
    "wrong magic": (b"\xa1\xb2\xc3\xd5" + HEADER[4:], 0, "is not a capture: it begins with a1 b2 c3 d5", 3),
    "half a header": (HEADER[:20], 0, "ends inside the file header, after 20 of 24 bytes", 3),
    "unknown link type": (pcap(link=147), 0, "has link type 147, which nsm does not know", 3),
    "cut in a packet": (pcap()[:-1], 4, "is cut short: it ends inside packet 5", 6),
    "cut in a record's header": (HEADER + RECORD + RECORD[:9], 1, "is cut short: it ends inside packet 2", 6),
    "4 GB length": (
        HEADER + RECORD + struct.pack("<IIII", 1, 0, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(99), 1,
        "is damaged: packet 2 at byte 54 claims an impossible length", 6,
    ),
    "4 GB block": (NG + enhanced(1, b"x") + struct.pack("<II", 6, 0xFFFFFFFC) + bytes(99), 1, "impossible length", 6),
    "crooked block": (NG + enhanced(1, b"x") + struct.pack("<II", 6, 33) + bytes(99), 1, "impossible length", 6),
    "no such interface": (NG + enhanced(1, b"x") + enhanced(1, b"x", number=7), 1, "names an interface", 6),
    "no byte order": (section()[:8] + bytes(20), 0, "has no byte order mark", 3),
    "half a section": (section()[:20], 0, "ends inside a section header", 3),
    "half a block": (NG + enhanced(1, b"x")[:-2], 0, "is cut short: it ends inside the block after packet 0", 3),
    "half a gzip": (gzip.compress(HEADER)[:9], 0, "a.pcap", 3),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_line_after_what_was_readable(tmp_path: Path, case: str) -> None:
    data, readable, words, _ = BAD[case]
    found, message = fault_of(written(tmp_path, data))
    assert len(found) == readable
    assert words in message
    assert message.count("\n") == 0
    assert "a.pcap" in message


@pytest.mark.parametrize("case", BAD)
def test_bad_input_has_its_exit_code(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    data, _, words, code = BAD[case]
    path = written(tmp_path, data)
    assert main.run(["read", "-q", str(path)]) == code
    out, err = capsys.readouterr()
    assert words in err
    assert "Traceback" not in err
    assert (out == "") is (code == 3)


def test_a_folder_a_missing_file_and_one_that_is_forbidden(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "none", "no such file or directory")):
        with pytest.raises(CaptureError, match=words):
            open_capture(path)
    if os.geteuid():
        path = written(tmp_path, pcap())
        path.chmod(0)
        with pytest.raises(CaptureError, match="permission denied"):
            open_capture(path)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "x" * 250, "\u202ea"])
def test_a_name_stays_one_short_line(tmp_path: Path, name: str) -> None:
    _, message = fault_of(written(tmp_path, b"text", name))
    assert message.isprintable()
    assert len(message) <= 400


mutations = st.builds(
    lambda data, cut, changes: bytes(
        changes.get(place, byte) for place, byte in enumerate(data[: len(data) - cut])
    ),
    st.sampled_from([pcap(), pcap(order=">", magic=0xA1B2CD34, extra=bytes(8)),
                     NG + enhanced(1, b"x") + enhanced(2, b"y"),
                     section(">") + interface(">", options=option(9, b"\x80", ">")) + enhanced(1, b"x", ">")]),
    st.integers(0, 60),
    st.dictionaries(st.integers(0, 200), st.integers(0, 255), max_size=6),
)  # fmt: skip


@given(data=st.one_of(st.binary(max_size=200), mutations), rows=st.sampled_from([1, 3, 2_048]))
@example(data=b"\x1f\x8b" + bytes(30), rows=1)
@example(data=b"\x28\xb5\x2f\xfd" + bytes(30), rows=1)
@example(data=b"\x04\x22\x4d\x18" + bytes(30), rows=1)
def test_any_bytes_give_batches_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes, rows: int) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pcap"
    path.write_bytes(data)
    source = None
    try:
        source = open_capture(path, rows)
        for batch in source.batches():
            assert 0 < batch.count <= batch.rows
            stop = batch.offset[: batch.count] + batch.caplen[: batch.count]
            assert (batch.offset[: batch.count] >= 0).all()
            assert (stop <= len(batch.data)).all()
            assert (batch.caplen[: batch.count] <= batch.wirelen[: batch.count]).all()
    except CaptureError as error:
        text = str(error)
        assert text.isprintable()
        assert len(text) <= 400
    finally:
        if source is not None:
            source.close()
            source.close()  # may be called twice
