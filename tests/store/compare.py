"""The sums of a store beside what its raw rows give: slow and obvious."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nsm.model import address
from nsm.model.address import Networks
from nsm.model.flow import FLOW
from nsm.store import registry
from nsm.store.compactor import read_files
from nsm.store.database import open_read_only
from nsm.store.rollup import DIMS, DIRECTIONS, LEVELS, OTHER

Sums = dict[tuple[int, str, int, str], list[int]]


def raw_rows(directory: Path) -> list[dict[str, Any]]:
    """Every registered flow as a dict, src and dst as text."""
    connection = open_read_only(directory)
    files = registry.segments(connection, "tab='flow'")
    connection.close()
    if not files:
        return []
    rows: list[dict[str, Any]] = read_files(FLOW, [directory / segment.file for segment in files]).to_pylist()
    for row in rows:
        for side in ("src", "dst"):
            row[side] = address.text(row[f"{side}_hi"], row[f"{side}_lo"])
    return rows


def sums_of(rows: Iterable[dict[str, Any]], home: Networks) -> Sums:
    """What the rollup has to hold, without any cap."""
    out: Sums = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows:
        second = row["ts"] // 1_000_000
        inside = (row["src"] in home, row["dst"] in home)
        direction = DIRECTIONS[{(True, True): 0, (True, False): 1, (False, True): 2, (False, False): 3}[inside]]
        port = str(row["dst_port"]) if row["proto"] in (6, 17, 132) else "none"
        keys = {"total": "", "proto": str(row["proto"]), "app": row["app"], "iface": str(row["iface"]),
                "direction": direction, "port": port}  # fmt: skip
        values = (1, row["pkts_s"] + row["pkts_c"], row["bytes_s"], row["bytes_c"])
        for level in LEVELS:
            for dim, key in keys.items():
                if level > 1 or dim != "port":
                    _add(out, (level, dim, second // level * level, key), values)
            if level > 1:
                _add(out, (level, "host", second // level * level, row["src"]), values)
                swapped = (*values[:2], values[3], values[2])
                _add(out, (level, "host", second // level * level, row["dst"]), swapped)
    return dict(out)


def stored_sums(directory: Path) -> Sums:
    """What the rollup holds, but for the dimension ``wire``."""
    connection = open_read_only(directory)
    rows = connection.execute("SELECT res, dim, t, key, flows, pkts, bytes_s, bytes_c FROM rollup").fetchall()
    connection.close()
    return {(res, DIMS[dim], t, key): list(sums) for res, dim, t, key, *sums in rows if DIMS[dim] != "wire"}


def differences(directory: Path, home: Networks) -> list[str]:
    """What is wrong: a key that is named must be exact, and the keys of a bucket must sum to all of it."""
    held, true = stored_sums(directory), sums_of(raw_rows(directory), home)
    wrong = [f"{key}: {sums} is not {true.get(key)}" for key, sums in held.items()
             if key[3] != OTHER and true.get(key) != sums]  # fmt: skip
    whole: dict[tuple[int, str, int], Counter[int]] = defaultdict(Counter)
    for sign, side in ((1, held), (-1, true)):
        for (res, dim, t, _), sums in side.items():
            for index, value in enumerate(sums):
                whole[res, dim, t][index] += sign * value
    return wrong + [f"{bucket}: off by {dict(sums)}" for bucket, sums in whole.items() if any(sums.values())]


def _add(out: Sums, key: tuple[int, str, int, str], values: tuple[int, ...]) -> None:
    for index, value in enumerate(values):
        out[key][index] += value
