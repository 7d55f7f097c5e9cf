"""The command line's contract: exit codes, the form of an error, options before and after the command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import nsm
from nsm import errors
from nsm.cli import main
from nsm.cli.context import Context
from nsm.cli.errors import EXIT_CODES, exit_code

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make the one command of this test raise: a command like any other, found where commands are looked for."""

    @click.command(name="breaks")
    def command() -> None:
        raise error

    monkeypatch.setattr(main, "_module_names", lambda: ["breaks"])
    monkeypatch.setattr(main, "_command_of", lambda _name: command)


def test_alone_it_says_how_to_go_on(run: Run) -> None:
    code, out, err = run()
    assert code == 0
    assert not err
    assert sum(line.startswith("  ") for line in out.splitlines()) == 3
    assert "nsm run" in out


def test_help_lists_every_command_with_a_sentence(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    listed = out.partition("Commands:")[2].partition("\n\n")[0].strip().splitlines()
    assert {"config", "doctor", "help", "completion"} <= {line.split()[0] for line in listed}
    assert all(len(line.split()) > 2 for line in listed)


def test_every_command_explains_itself_on_one_screen_with_an_example(run: Run) -> None:
    root = main.group()
    with click.Context(root) as ctx:
        names = root.list_commands(ctx)
    for name in names:
        code, out, _ = run(name, "--help")
        assert code == 0
        assert f"nsm {name}" in out.partition("Usage:")[2].partition("\n")[2], name
        assert len(out.splitlines()) <= 50, name


def test_an_unknown_command_is_answered_with_the_nearest(run: Run) -> None:
    assert run("confg") == (2, "", "nsm: there is no command confg\n  where: nsm\n  mend:  did you mean config?\n")


@pytest.mark.parametrize(
    "arguments", [("--bogus",), ("config", "show", "--bogus"), ("config", "nothing"), ("completion", "cmd")]
)
def test_wrong_usage_ends_with_2_and_three_lines(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert not out
    assert [line.split(":")[0] for line in err.splitlines()] == ["nsm", "  where", "  mend"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError("x"), 2), (errors.RuleError("x"), 2), (errors.QueryError("x"), 2),
        (errors.CaptureError("x"), 3),
        (errors.StoreError("x"), 3), (errors.SinkError("x"), 3), (errors.CapturePermissionError("x"), 4),
        (errors.AuthError("x"), 4), (errors.ServiceError("x"), 5), (KeyboardInterrupt(), 130), (click.Abort(), 130),
        (click.UsageError("x"), 2), (RuntimeError("x"), 70), (click.exceptions.Exit(6), 6),
    ],
)  # fmt: skip
def test_an_error_has_its_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    raising(monkeypatch, error)
    found, _, err = run("breaks")
    assert found == code
    assert "Traceback" not in err


def test_every_leaf_of_the_family_ends_with_a_documented_code() -> None:
    documented = {code for code, _ in EXIT_CODES}
    for kind in errors.NsmError.__subclasses__():
        assert exit_code(kind("x")) in documented


def test_an_error_says_what_where_and_how_to_mend_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, errors.CapturePermissionError("cannot capture", where="uid 1000", mend="sudo nsm run"))
    assert run("breaks")[2] == "nsm: cannot capture\n  where: uid 1000\n  mend:  sudo nsm run\n"


def test_a_message_with_control_characters_cannot_write_on_the_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, errors.CaptureError("bad name \x1b]0;owned\x07\u202e"))
    err = run("breaks")[2]
    assert err == "nsm: bad name \\x1b]0;owned\\x07\\u202e\n"


def test_a_fault_of_the_program_leaves_its_traceback_in_a_file(
    run: Run, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    raising(monkeypatch, ZeroDivisionError("oh"))
    code, _, err = run("--data", str(home / "data"), "breaks")
    assert code == 70
    [path] = (home / "data").glob("traceback-*.txt")
    assert str(path) in err
    assert "ZeroDivisionError: oh" in path.read_text()


def test_debug_shows_the_traceback_and_leaves_no_file(run: Run, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    raising(monkeypatch, ZeroDivisionError("oh"))
    code, _, err = run("--debug", "--data", str(home / "data"), "breaks")
    assert code == 70
    assert "Traceback" in err
    assert not (home / "data").exists()


def seen_by_a_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Context:
    seen = []

    @click.command(name="looks")
    @click.pass_obj
    def command(context: Context) -> None:
        seen.append(context)

    monkeypatch.setattr(main, "_module_names", lambda: ["looks"])
    monkeypatch.setattr(main, "_command_of", lambda _name: command)
    assert main.run(arguments) == 0
    return seen[0]


@pytest.mark.parametrize("after", [False, True])
def test_common_options_work_before_and_after_the_command(
    monkeypatch: pytest.MonkeyPatch, home: Path, after: bool
) -> None:
    options = ["--data", str(home), "--config", "c.toml", "-vv", "--no-color", "--debug"]
    context = seen_by_a_command(monkeypatch, *(["looks", *options] if after else [*options, "looks"]))
    assert context.data_dir() == home
    assert (context.config, context.verbosity, context.colour, context.debug) == ("c.toml", 2, False, True)


def test_an_option_after_the_command_does_not_undo_one_before_it(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    context = seen_by_a_command(monkeypatch, "--data", str(home), "looks", "-q")
    assert context.data_dir() == home
    assert context.quiet


@pytest.mark.parametrize(
    ("environ", "expected"), [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)]
)
def test_colours_follow_the_environment(environ: dict[str, str], expected: bool) -> None:
    assert Context(environ).colour is expected


def test_a_reader_that_goes_away_is_no_error(home: Path) -> None:
    source = str(Path(next(iter(nsm.__path__))).parent)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "nsm", "--help"], check=False, stdout=stdout, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": source},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(run: Run, shell: str) -> None:
    code, out, _ = run("completion", shell)
    assert code == 0
    assert "_NSM_COMPLETE" in out


def test_completion_names_the_commands(home: Path) -> None:
    source = str(Path(next(iter(nsm.__path__))).parent)
    environ = {
        **os.environ,
        "PYTHONPATH": source,
        "_NSM_COMPLETE": "bash_complete",
        "COMP_WORDS": "nsm conf",
        "COMP_CWORD": "1",
    }
    done = subprocess.run([sys.executable, "-m", "nsm"], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["plain,config"]


@pytest.mark.parametrize("topic", ["exit-codes", "filter", "fields", "config", "doctor"])
def test_help_explains_a_topic_or_a_command(run: Run, topic: str) -> None:
    code, out, _ = run("help", topic)
    assert code == 0
    assert len(out.splitlines()) > 4


def test_help_of_exit_codes_has_every_code(run: Run) -> None:
    out = run("help", "exit-codes")[1]
    assert [int(line.split()[0]) for line in out.splitlines()] == [code for code, _ in EXIT_CODES]


def test_help_on_nothing_known_names_the_topics(run: Run) -> None:
    code, _, err = run("help", "nothing")
    assert code == 2
    assert "exit-codes, filter, fields, config" in err
