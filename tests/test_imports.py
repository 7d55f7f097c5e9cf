"""What a start costs: which modules the command line and ``import nsm`` load, and which they must not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nsm

HEAVY = (
    "numpy",
    "numba",
    "pyarrow",
    "duckdb",
    "fastapi",
    "socketio",
    "uvicorn",
    "asyncio",
    "rich",
    "psutil",
    "sqlite3",
)
SOURCE = Path(next(iter(nsm.__path__))).parent
PROBE = """
import runpy, sys
sys.argv = ["nsm", *sys.argv[1:]]
try:
    {run}
except SystemExit as done:
    code = done.code or 0
else:
    code = 0
print("loaded:", *sorted({{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr)
sys.exit(code)
"""


def loaded_by(run: str, *arguments: str) -> set[str]:
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(run=run), *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.rpartition("loaded:")[2].split())


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--version",), ("config", "--help"), ("help", "exit-codes")])
def test_the_command_line_loads_nothing_heavy(arguments: tuple[str, ...], home: Path) -> None:
    loaded = loaded_by("from nsm.cli.main import main; main()", *arguments)
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_wrong_command_is_refused_without_loading_anything_heavy(home: Path) -> None:
    run = "from nsm.cli.main import run; code = run(['qurey']); assert code == 2"
    assert loaded_by(run).isdisjoint(HEAVY)


def test_import_nsm_loads_nothing_heavy() -> None:
    assert loaded_by("import nsm").isdisjoint({*HEAVY, "click"})


def test_places_are_known_without_third_party_modules() -> None:
    loaded = loaded_by("import nsm.settings.places")
    assert loaded.isdisjoint({*HEAVY, "click", "msgspec", "yaml", "logging"})


@pytest.mark.parametrize(
    ("run", "without"),
    [
        (
            "import nsm.run.supervisor; from nsm.run.schema import load_settings; load_settings()",
            {"numba", "pyarrow", "duckdb", "fastapi"},
        ),
        ("import nsm.run.analyst", {"numba", "duckdb", "fastapi"}),
        ("import nsm.run.store_writer", {"numba", "duckdb", "fastapi"}),
        ("import nsm.run.web", {"numba"}),
        ("import nsm.run.health_watch", {"numba", "pyarrow", "duckdb", "fastapi"}),
        ("import nsm.run.notifier", {"numba", "pyarrow", "duckdb", "fastapi", "apprise", "requests"}),
        ("import nsm.run.capture_worker", {"duckdb", "fastapi", "sqlite3"}),
    ],
)
def test_each_process_of_the_service_loads_only_what_it_works_with(run: str, without: set[str]) -> None:
    assert loaded_by(run).isdisjoint(without)


@pytest.mark.parametrize("bench", sorted(path.name for path in (SOURCE.parent / "bench").glob("*.py")))
def test_every_bench_finds_what_it_measures(bench: str) -> None:
    run = f"runpy.run_path({str(SOURCE.parent / 'bench' / bench)!r}, run_name='imported')"
    assert "runpy" in loaded_by(run)
