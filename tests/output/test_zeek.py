"""conn.log: the form of Zeek's logs, and what each kind of connection looks like in it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from nsm.output.zeek import CONN, header
from nsm.run.zeek import write_zeek
from nsm.wire.zeek_line import uid
from tests.data.detect.make import OURS, SERVER, connection, refused, silent
from tests.kernels.frames import ACK, PSH, RST, SYN, Timed, icmp, pcap, tcp, udp

Row = dict[str, str]


def conn(frames: list[Timed], folder: Path) -> list[Row]:
    path = folder / "a.pcap"
    path.write_bytes(pcap(frames))
    write_zeek(path, folder / "logs")
    lines = (folder / "logs" / "conn.log").read_text().splitlines()
    fields = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    return [dict(zip(fields, line.split("\t"), strict=True)) for line in lines if not line.startswith("#")]


def test_the_head_names_every_field_and_type() -> None:
    lines = io.StringIO(header("conn", CONN, "2026-01-01-00-00-00")).read().splitlines()
    assert lines[0] == "#separator \\x09"
    assert lines[4] == "#path\tconn"
    assert lines[-2].split("\t")[1:4] == ["ts", "uid", "id.orig_h"]
    assert len(lines[-1].split("\t")) == len(lines[-2].split("\t")) == len(CONN) + 1


SEEN: dict[str, tuple[list[Timed], str, str]] = {
    "whole": (list(connection(0, OURS, SERVER, 1, 80)), "SF", "ShADdFf"),
    "no answer": (list(silent(0, OURS, SERVER, 1, 80)), "S0", "S"),
    "refused": (list(refused(0, OURS, SERVER, 1, 80)), "REJ", "Sr"),
    "left open": (list(connection(0, OURS, SERVER, 1, 80))[:5], "S1", "ShADd"),
    "reset by the client": (
        [*list(connection(0, OURS, SERVER, 1, 80))[:3], (0.1, tcp(OURS, SERVER, 1, 80, RST, seq=101))], "RSTO", "ShAR"
    ),
    "in the middle": ([(0, tcp(OURS, SERVER, 4_000, 80, PSH | ACK, b"x" * 5, seq=9, ack=9))], "OTH", "D"),
    "half seen": ([(0, tcp(SERVER, OURS, 80, 4_000, SYN | ACK, seq=9, ack=9))], "OTH", "^h"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_a_connection_is_summed_up_as_zeek_does(name: str, tmp_path: Path) -> None:
    frames, state, history = SEEN[name]
    (row,) = conn(frames, tmp_path)
    assert (row["conn_state"], row["history"]) == (state, history)
    assert (row["id.orig_h"], row["id.resp_h"]) == (OURS, SERVER)


def test_bytes_and_packets_of_a_whole_connection(tmp_path: Path) -> None:
    (row,) = conn(list(connection(0, OURS, SERVER, 1, 80, b"x" * 300, b"y" * 7)), tmp_path)
    assert (row["orig_bytes"], row["resp_bytes"], row["missed_bytes"]) == ("300", "7", "0")
    assert (row["orig_pkts"], row["resp_pkts"]) == ("4", "3")
    assert (row["orig_ip_bytes"], row["resp_ip_bytes"]) == (str(4 * 40 + 300), str(3 * 40 + 7))
    assert (row["duration"], row["local_orig"], row["proto"]) == ("0.060000", "T", "tcp")


def test_datagrams_and_echoes(tmp_path: Path) -> None:
    rows = conn([
        (0, udp(OURS, SERVER, 9, 99, b"abc")), (1, udp(SERVER, OURS, 99, 9, b"defg")), (2, icmp(OURS, SERVER, 8)),
        (3, icmp(SERVER, OURS, 0)), (4, udp(OURS, SERVER, 10, 99, b"abc")),
    ], tmp_path)  # fmt: skip
    by = {(row["proto"], row["id.orig_p"]): row for row in rows}
    assert (by["udp", "9"]["conn_state"], by["udp", "9"]["history"], by["udp", "9"]["resp_bytes"]) == ("SF", "Dd", "4")
    assert (by["udp", "10"]["conn_state"], by["udp", "10"]["history"]) == ("S0", "D")
    assert by["icmp", "8"]["id.resp_p"] == "0"


def test_a_damaged_packet_is_seen_when_sums_are_checked(tmp_path: Path) -> None:
    frames = list(connection(0, OURS, SERVER, 1, 80))
    bad = bytearray(frames[3][1])
    bad[-1] ^= 1
    (row,) = conn([*frames[:3], (frames[3][0], bytes(bad)), *frames[4:]], tmp_path)
    assert "C" in row["history"]


def test_names_of_connections_are_spread_and_repeatable() -> None:
    names = {uid(number) for number in range(1_000)}
    assert len(names) == 1_000
    assert {len(name) for name in names} == {18}
    assert uid(7) == uid(7)
