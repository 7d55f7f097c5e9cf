"""``nsm config`` as a person uses it, on files that are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nsm.cli import main
from nsm.store.page_settings import PageSettings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def own_file(home: Path) -> Path:
    return home / ".config" / "nsm" / "config.toml"


def test_init_writes_a_file_that_changes_nothing_and_is_not_replaced_by_accident(run: Run, home: Path) -> None:
    assert run("config", "init")[0] == 0
    assert own_file(home).stat().st_mode & 0o777 == 0o600
    code, out, _ = run("config", "check")
    assert code == 0
    assert out.startswith("ok: 0 of ")
    code, _, err = run("config", "init")
    assert code == 2
    assert "--force" in err


def test_set_changes_one_line_and_show_says_where_it_is_from(run: Run, home: Path) -> None:
    run("config", "init")
    before = own_file(home).read_text().splitlines()
    assert run("config", "set", "flow.tcp_new_s", "20")[0] == 0
    after = own_file(home).read_text().splitlines()
    [line] = [number for number, pair in enumerate(zip(before, after, strict=True), 1) if pair[0] != pair[1]]
    code, out, _ = run("config", "show", "flow.tcp_new_s", "--source", "--json")
    assert code == 0
    assert json.loads(out) == {"key": "flow.tcp_new_s", "value": 20.0, "source": f"file {own_file(home)} line {line}"}


def test_set_makes_the_file_when_there_is_none(run: Run, home: Path) -> None:
    assert run("config", "set", "flow.tcp_new_s", "20")[0] == 0
    assert "\ntcp_new_s = 20.0\n" in own_file(home).read_text()


@pytest.mark.parametrize(("key", "value"), [("flow.tcp_nwe_s", "20"), ("flow.tcp_new_s", "soon"), ("flow", "1")])
def test_set_refuses_what_would_not_load_and_leaves_the_file(run: Run, home: Path, key: str, value: str) -> None:
    run("config", "init")
    before = own_file(home).read_bytes()
    code, _, err = run("config", "set", key, value)
    assert code == 2
    assert key in err
    assert own_file(home).read_bytes() == before


def test_check_names_the_line_and_the_nearest_name(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[flow]\ntcp_new_s = 3\ntcp_nwe_s = 4\n")
    code, _, err = run("config", "check", str(path))
    assert code == 2
    assert err == (
        f"nsm: unknown setting flow.tcp_nwe_s\n  where: file {path} line 3\n  mend:  did you mean flow.tcp_new_s?\n"
    )


def test_show_of_an_unknown_section_names_the_nearest(run: Run) -> None:
    code, _, err = run("config", "show", "flwo")
    assert code == 2
    assert "did you mean flow?" in err


def test_what_was_set_on_the_page_is_in_effect_and_named(run: Run, home: Path) -> None:
    kept = PageSettings(home / "data")
    kept.set("flow.tcp_new_s", 20)
    kept.close()
    out = run("--data", str(home / "data"), "config", "show", "flow.tcp_new_s", "--source", "--json")[1]
    assert json.loads(out) == {"key": "flow.tcp_new_s", "value": 20.0, "source": "page"}


def test_path_prints_the_file_in_use_or_the_places_that_were_tried(run: Run, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "my.toml"
    path.touch()
    assert run("--config", str(path), "config", "path")[:2] == (0, f"{path}\n")
    code, out, err = run("config", "path")
    if not out:  # this machine has no /etc/nsm
        assert code == 0
        assert str(own_file(home)) in err
