"""The log: one line a message, JSON off a terminal, no secrets, bounded files."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.run import logs


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger("nsm")
    kept = root.handlers[:], root.level, root.propagate
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level, root.propagate = kept


def test_on_a_terminal_a_line_is_text_elsewhere_json() -> None:
    for stream in (Terminal(), io.StringIO()):
        logs.console(logging.INFO, stream)
        logging.getLogger("nsm.capture.ring").warning("dropped packets=%d iface=%s", 12, "eth0")
        line = stream.getvalue().rstrip("\n")
        if stream.isatty():
            assert line[8:] == " WARNING capture.ring: dropped packets=12 iface=eth0"
        else:
            found = json.loads(line)
            assert (found["level"], found["part"], found["message"]) == (
                "warning", "capture.ring", "dropped packets=12 iface=eth0",
            )  # fmt: skip
            assert found["ts"].endswith("Z")


def test_a_second_console_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.console(logging.INFO, first)
    logs.console(logging.INFO, second)
    logging.getLogger("nsm.x").info("once")
    assert (first.getvalue(), second.getvalue().count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2", "smtp_password: hunter2", "token = hunter2", "Authorization: Bearer hunter2",
        "api-key=hunter2", 'secret="hunter2 and more"', "cookie=hunter2", "PASSWD=hunter2",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    cleaned = logs.clean(f"before {text} after=1")
    assert "hunter2" not in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith("after=1")


@given(st.text(max_size=100))
def test_a_message_is_one_line_without_control_characters(text: str) -> None:
    cleaned = logs.clean(text)
    assert len(cleaned.splitlines()) <= 1
    assert cleaned.isprintable() or not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in cleaned)


def test_a_long_message_is_cut() -> None:
    assert len(logs.clean("x" * 10 * logs.LINE_CHARACTERS_MAX)) == logs.LINE_CHARACTERS_MAX


def test_the_file_is_private_and_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES_MAX", 1_000)
    logs.log_file(tmp_path / "data")
    for number in range(100):
        logging.getLogger("nsm.x").info("line number=%d", number)
    names = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert names == ["nsm.log", "nsm.log.1", "nsm.log.2", "nsm.log.3"]
    assert all(path.stat().st_size <= 1_000 for path in (tmp_path / "data").iterdir())
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "data").iterdir())


def test_a_fault_keeps_its_traceback() -> None:
    stream = io.StringIO()
    logs.console(logging.INFO, stream)
    try:
        _ = 1 // int("0")
    except ZeroDivisionError:
        logging.getLogger("nsm.x").exception("failed")
    assert "ZeroDivisionError" in json.loads(stream.getvalue())["traceback"]
