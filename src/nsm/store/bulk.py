"""Questions to the Parquet files of a snapshot, through DuckDB: bounded in threads, memory, time and reach."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from nsm.errors import QueryError, StoreError
from nsm.store import shape
from nsm.store.engines import duckdb as engine
from nsm.store.plan import Plan
from nsm.store.registry import Segment
from nsm.store.snapshot import too_slow

THREADS: Final = 2
MEMORY: Final = "512MB"
FIRST_FILES: Final = 8  # of the newest-first search; then four times as many each step
NARROW_ROWS_MIN: Final = 20_000  # below, reading all columns at once costs less than reading twice


class FileVanishedError(Exception):
    """A file of the snapshot has been removed meanwhile: take a new snapshot."""


class Bulk:
    """One DuckDB for a reader; a cursor for each question. It reads the store's folder and nothing else."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None

    def close(self) -> None:
        """Free its memory."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def groups(self, plan: Plan, files: Sequence[Segment]) -> list[shape.Row]:
        """What the engine found for a question with aggregates; ``shape.grouped`` makes the answer of it."""
        if not files:
            return [] if plan.group or plan.spec.bucket_s else [tuple(_of_nothing(agg.fn) for agg in plan.spec.aggs)]
        text, params = engine.compile_groups(plan, self.paths(files))
        found = self.ask(text, params, plan.spec.budget_ms, shape.GROUPS_MAX + 1)
        keys = bool(plan.spec.bucket_s)
        if not keys:
            return shape.with_addresses(plan.group, found, split=True)
        rest = shape.with_addresses(plan.group, [row[1:] for row in found], split=True)
        return [(row[0], *tail) for row, tail in zip(found, rest, strict=True)]

    def rows(self, plan: Plan, files: Sequence[Segment]) -> tuple[list[shape.Row], list[shape.Row]]:
        """(the rows, for each the values of the order's fields): one more than the limit when there are more."""
        wanted = plan.spec.limit + 1
        found = self._newest(plan, files, wanted) if plan.newest_first else self._all_columns(plan, files, wanted)
        extra = len(plan.order)
        tails = [tuple(row[-extra:]) for row in found]
        return shape.with_addresses(plan.select, [row[:-extra] for row in found], split=True), tails

    def _all_columns(
        self, plan: Plan, files: Sequence[Segment], limit: int, since_us: int | None = None
    ) -> list[tuple[Any, ...]]:
        if not files:
            return []
        text, params = engine.compile_rows(plan, self.paths(files), limit, since_us)
        return self.ask(text, params, plan.spec.budget_ms, limit)

    def _newest(self, plan: Plan, files: Sequence[Segment], wanted: int) -> list[tuple[Any, ...]]:
        """Newest files first, then older ones until there are enough.

        Each step reads the times alone, and all columns only where the rows wanted lie.
        """
        waiting = sorted(files, key=lambda segment: segment.t_max, reverse=True)
        key = tuple(down for _, down in plan.order)
        extra = len(key)
        found: list[tuple[Any, ...]] = []
        since: int | None = None
        step = FIRST_FILES
        while waiting and (since is None or waiting[0].t_max >= since):
            part, waiting = self._part(waiting, step)
            step *= 4
            lowest = since
            if sum(segment.rows for segment in part) > NARROW_ROWS_MIN:
                text, params = engine.compile_times(plan, self.paths(part), wanted, since)
                times = self.ask(text, params, plan.spec.budget_ms, wanted)
                if not times:
                    continue
                lowest = int(times[-1][0])
            found += self._all_columns(plan, part, wanted, lowest)
            if all(key):
                found.sort(key=lambda row: row[-extra:], reverse=True)
            else:
                _sort_mixed(found, key)
            found = found[:wanted]
            if len(found) == wanted:
                since = int(found[-1][-extra])
        return found

    def _part(self, waiting: Sequence[Segment], step: int) -> tuple[list[Segment], list[Segment]]:
        """The next files: so many, and no more than one whole segment in the first step."""
        count, rows = 0, 0
        for segment in waiting[:step]:
            if count and step == FIRST_FILES and rows + segment.rows > 1_000_000:
                break
            count, rows = count + 1, rows + segment.rows
        return list(waiting[:count]), list(waiting[count:])

    def paths(self, files: Sequence[Segment]) -> list[str]:
        """Where the files of a snapshot lie: what ``read_parquet`` is given."""
        return [str(self._directory / segment.file) for segment in files]

    def ask(self, text: str, params: list[Any], budget_ms: int, most: int) -> list[tuple[Any, ...]]:
        """At most ``most`` rows of one statement of ours; QueryError above the budget of time or memory."""
        cursor = self._cursor()
        timer = threading.Timer(budget_ms / 1000, cursor.interrupt)
        timer.daemon = True
        began = time.monotonic()
        timer.start()
        try:
            # A cursor refuses the next question while an answer is open: always read to its end, then closed.
            found = cursor.execute(text, params).fetchmany(most)
        except duckdb.InterruptException as error:
            raise too_slow(budget_ms) from error
        except duckdb.IOException as error:
            raise FileVanishedError(str(error)) from error
        except duckdb.OutOfMemoryException as error:
            raise QueryError(
                "the question needs more memory than allowed", mend="narrow the time or the groups"
            ) from error
        except duckdb.InvalidInputException as error:
            raise QueryError(f"the question cannot be answered: {error}") from error
        except duckdb.Error as error:
            raise StoreError(f"the store cannot be read: {error}", where=str(self._directory)) from error
        finally:
            timer.cancel()
            cursor.close()
        if time.monotonic() - began > budget_ms / 1000:  # the timer came too late to interrupt anything
            raise too_slow(budget_ms)
        return found

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._connection is None:
                folder = str(self._directory).replace("'", "''")
                self._connection = duckdb.connect(":memory:")
                for setting in (
                    f"threads={THREADS}", f"memory_limit='{MEMORY}'", "temp_directory=''",
                    "autoinstall_known_extensions=false", "autoload_known_extensions=false",
                    "preserve_insertion_order=false", f"allowed_directories=['{folder}/']",
                    "enable_external_access=false", "lock_configuration=true",
                ):  # fmt: skip
                    self._connection.execute(f"SET {setting}")
            return self._connection.cursor()


def _of_nothing(function: str) -> int | None:
    return 0 if function in ("count", "sum", "distinct", "distinct~") else None


def _sort_mixed(rows: list[tuple[Any, ...]], down: tuple[bool, ...]) -> None:
    for index in reversed(range(len(down))):
        at = index - len(down)
        rows.sort(key=lambda row: row[at], reverse=down[index])
