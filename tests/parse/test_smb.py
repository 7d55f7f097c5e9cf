"""SMB: commands of both generations made by hand, a file that streams, a pipe, and what every parser keeps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.smb import RECORD_BYTES_MAX, SPEC
from nsm.wire.smb_state import COMMANDS_MAX
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk
from tests.wire.dce_made import authenticate, bind, bind_ack, challenge, request, response

FID = bytes.fromhex("65000000300000002500200000000000")
MARK = b"\xfeSMB"


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(3, "big") + message


def two(command: int, body: bytes, number: int, answer: bool = False, status: int = 0, tree: int = 5) -> bytes:
    head = MARK + u16(64) + bytes(2) + u32(status) + u16(command) + bytes(2) + u32(int(answer)) + bytes(4)
    return head + number.to_bytes(8, "little") + bytes(4) + u32(tree) + (7).to_bytes(8, "little") + bytes(16) + body


def connect(path: str, kind: int) -> list[Piece]:
    name = path.encode("utf-16-le")
    return [
        (C, frame(two(3, u16(9) + u16(0) + u16(72) + u16(len(name)) + name, 1))),
        (S, frame(two(3, u16(16) + bytes([kind, 0]) + bytes(12), 1, True))),
    ]


def create(name: str, size: int = 0) -> list[Piece]:
    raw = name.encode("utf-16-le")
    body = u16(57) + bytes(22) + bytes(12) + u32(1) + u32(0x40) + u16(120) + u16(len(raw)) + bytes(8) + raw
    stamps = (116_444_736_000_000_000 + 15_000_000).to_bytes(8, "little") * 4
    answer = u16(89) + bytes(6) + stamps + bytes(8) + size.to_bytes(8, "little") + bytes(8) + FID
    return [(C, frame(two(5, body, 2))), (S, frame(two(5, answer, 2, True)))]


def read(data: bytes, offset: int = 0, number: int = 3) -> list[Piece]:
    ask = u16(49) + bytes(2) + u32(len(data)) + offset.to_bytes(8, "little") + FID + bytes(16)
    return [
        (C, frame(two(8, ask, number))),
        (S, frame(two(8, u16(17) + b"\x50\0" + u32(len(data)) + bytes(8) + data, number, True))),
    ]


def write(data: bytes, number: int = 4) -> Piece:
    return C, frame(two(9, u16(49) + u16(112) + u32(len(data)) + bytes(8) + FID + bytes(16) + data, number))


CLOSE: list[Piece] = [(C, frame(two(6, u16(24) + bytes(6) + FID, 9))), (S, frame(two(6, bytes(60), 9, True)))]
DISK = connect("\\\\srv\\share", 1)
WHOLE = [*DISK, *create("a\\b.txt", 12), *read(b"hello "), *read(b"world!", 6, 5), *CLOSE]


def commands(told: Told) -> list[str]:
    return [event["smb"]["command"].removeprefix("SMB2_COMMAND_") for _, event, _, _ in told.events]


def test_a_file_is_opened_read_and_closed() -> None:
    told = talk(SPEC, WHOLE)
    assert commands(told) == ["TREE_CONNECT", "CREATE", "READ", "CLOSE"]
    tree, made, transfer, _ = (event["smb"] for _, event, _, _ in told.events)
    assert (tree["share"], tree["share_type"], tree["tree_id"], tree["id"]) == ("\\\\srv\\share", "FILE", 5, 1)
    assert (made["filename"], made["disposition"], made["access"], made["created"]) == (
        "a\\b.txt",
        "FILE_OPEN",
        "normal",
        1,
    )
    assert made["fuid"] == transfer["fuid"] == "00000065-0030-0000-0025-002000000000"
    assert (told.files[0].body, told.files[0].about["filename"]) == (b"hello world!", "a\\b.txt")
    (_, mapping), (_, opened) = told.zeek
    assert (mapping["path"], mapping["share_type"]) == ("\\\\srv\\share", "DISK")
    assert (opened["action"], opened["name"], opened["size"], opened["times__created"]) == (
        "SMB::FILE_OPEN",
        "a\\b.txt",
        12,
        1.5,
    )


def test_a_long_record_streams() -> None:
    data = bytes(range(256)) * (RECORD_BYTES_MAX // 128)
    pieces = [*DISK, *create("big"), *read(data), *CLOSE]
    cut = [(side, raw[at : at + 999]) for side, raw in pieces for at in range(0, len(raw), 999)]
    told = talk(SPEC, cut)
    assert told.files[0].body == data
    assert told.events == talk(SPEC, pieces).events


def test_a_gap_in_a_file_is_one_of_the_file() -> None:
    data = bytes(RECORD_BYTES_MAX * 2)
    session = Talk(SPEC, Told())
    for side, raw in [*DISK, *create("big")]:
        session.send(side, raw)
    ask, (_, answer) = read(data)
    session.send(*ask)
    session.send(S, answer[:9000])
    session.gap(S, 5000)
    session.send(S, answer[14000:])
    session.gap(S, 77)
    for side, raw in CLOSE:
        session.send(side, raw)
    session.finish()
    assert (session.told.files[0].gaps, len(session.told.files[0].body)) == (5000, len(data) - 5000)


def test_calls_on_a_pipe_are_told() -> None:
    pipe = connect("\\\\srv\\IPC$", 2)
    told = talk(
        SPEC,
        [
            *pipe,
            *create("samr"),
            write(bind()),
            *read(bind_ack()),
            write(request(5), 6),
            *read(response(b"x" * 8), 0, 7),
            *CLOSE,
        ],
    )
    assert commands(told) == ["TREE_CONNECT", "CREATE", "WRITE", "WRITE", "CLOSE"]
    called = told.events[3][1]["smb"]["dcerpc"]
    assert (called["request"], called["opnum"], called["res"]) == ("REQUEST", 5, {"frag_cnt": 1, "stub_data_size": 8})
    assert [row["operation"] for log, row in told.zeek if log == "dce_rpc"] == ["SamrLookupDomainInSamServer"]
    assert told.services == ["dce_rpc"]


def test_a_login_and_its_failure() -> None:
    def setup(blob: bytes, number: int) -> bytes:
        return frame(two(1, u16(25) + bytes(10) + u16(88) + u16(len(blob)) + bytes(8) + blob, number))

    def reply(blob: bytes, number: int, status: int) -> bytes:
        return frame(two(1, u16(9) + bytes(2) + u16(72) + u16(len(blob)) + blob, number, True, status))

    told = talk(
        SPEC,
        [
            (C, setup(b"", 1)),
            (S, reply(challenge(), 1, 0xC0000016)),
            (C, setup(authenticate(), 2)),
            (S, reply(b"", 2, 0xC000006D)),
        ],
    )
    assert told.events[1][1]["smb"]["ntlmssp"] == {
        "domain": "CORP",
        "user": "alice",
        "host": "PC1",
        "version": "10.0 build 10586 rev 15",
    }
    assert told.events[1][1]["smb"]["status"] == "STATUS_LOGON_FAILURE"
    assert [(row["username"], row["success"]) for _, row in told.zeek] == [("alice", False)]


def test_version_1() -> None:
    def one(command: int, words: bytes, data: bytes, answer: bool = False, flags: int = 0xC000) -> bytes:
        head = b"\xffSMB" + bytes([command]) + bytes(4) + (b"\x80" if answer else b"\0") + u16(flags) + bytes(12)
        return frame(
            head + u16(9) + bytes(2) + u16(1) + u16(3) + bytes([len(words) // 2]) + words + u16(len(data)) + data
        )

    names = "A\0B\0".encode("utf-16-le")
    told = talk(SPEC, [
        (C, one(0x72, b"", b"\2OLD\0\2NT LM 0.12\0")),
        (S, one(0x72, b"\1\0" + bytes(17) + u32(0x8000_0000) + bytes(11), bytes.fromhex("74733431320000000000000000000000"), True)),
        (C, one(0x73, bytes(24), b"\0" + names)),
        (S, one(0x73, bytes(6), b"\0\0" + names, True)),
    ])  # fmt: skip
    first, second = (event["smb"] for _, event, _, _ in told.events)
    assert (first["dialect"], first["client_dialects"]) == ("NT LM 0.12", ["OLD", "NT LM 0.12"])
    assert first["server_guid"] == "31347374-0032-0000-0000-000000000000"
    assert second["request"] == {"native_os": "A", "native_lm": "B"}
    assert (second["session_id"], second["tree_id"], second["status"]) == (1, 9, "STATUS_SUCCESS")


def test_same_said_whole_and_byte_by_byte() -> None:
    assert talk(SPEC, byte_by_byte(WHOLE)).said == talk(SPEC, WHOLE).said


def test_open_commands_are_bounded() -> None:
    told = talk(SPEC, [(C, frame(two(13, b"", number))) for number in range(COMMANDS_MAX + 5)])
    assert len(told.events) == COMMANDS_MAX


def test_behind_a_gap_the_next_record_is_found() -> None:
    session = Talk(SPEC, Told())
    session.gap(C, 100)
    session.send(C, b"rest of something" + DISK[0][1])
    session.send(*DISK[1])
    session.finish()
    assert commands(session.told) == ["TREE_CONNECT"]


@pytest.mark.parametrize(
    ("data", "match"),
    [(DISK[0][1], Match.YES), (b"\0\0\0\x40\xfe", Match.MORE), (b"\0\0\0\x40\x01", Match.NO), (b"GET / HT", Match.NO)],
)
def test_probe(data: bytes, match: Match) -> None:
    assert SPEC.probe(data, C, False) is match


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from((C, S)), st.integers(0, 20), st.binary(max_size=90)), max_size=8),
    st.binary(max_size=90),
)
def test_any_bytes(pieces: list[tuple[int, int, bytes]], data: bytes) -> None:
    made: list[Piece] = [
        (C if side == 0 else S, frame(two(command, body, 1, side != 0))) for side, command, body in pieces
    ]
    talk(SPEC, [*WHOLE[:4], *made, (C, data)])
    one = [0x04, 0x25, 0x2E, 0x2F, 0x72, 0x73, 0x75, 0xA2]
    talk(
        SPEC,
        [
            (
                C if side == 0 else S,
                frame(b"\xffSMB" + bytes([one[command % 8]]) + bytes(4) + (b"\x80" if side else b"\0") + body),
            )
            for side, command, body in pieces
        ],
    )
