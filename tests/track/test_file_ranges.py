"""When a file that comes in ranges is whole."""

from __future__ import annotations

import pytest

from nsm.track import file_ranges
from nsm.track.file_ranges import Ranges

KEY = ("host", "/file", 10)


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([(0, 10)], [True]), ([(0, 5), (5, 5)], [False, True]), ([(5, 5), (0, 5)], [False, True]),
        ([(0, 6), (3, 7)], [False, True]), ([(0, 4), (5, 5)], [False, False]), ([(2, 2), (0, 4), (4, 6)], [False, False, True]),
        ([(0, 0), (0, 11), (8, 5)], [False, False, False]), ([(0, 5), (0, 5), (5, 5)], [False, False, True]),
    ],
)  # fmt: skip
def test_a_file_is_whole_with_its_last_range(pieces: list[tuple[int, int]], whole: list[bool]) -> None:
    ranges = Ranges()
    assert [ranges.add(KEY, start, size) for start, size in pieces] == whole


def test_files_and_ranges_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_ranges, "FILES_MAX", 2)
    monkeypatch.setattr(file_ranges, "RANGES_MAX", 2)
    ranges = Ranges()
    for name in "abc":
        ranges.add(("host", name, 10), 0, 5)
    assert not ranges.add(("host", "a", 10), 5, 5)
    assert ranges.add(("host", "c", 10), 5, 5)
    assert [ranges.add(KEY, start, 1) for start in (0, 2, 4, 0)] == [False] * 4
