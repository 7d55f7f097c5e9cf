"""``nsm man``: the manual page, made from the commands themselves. ``docs/nsm.1`` is what it prints; see man(7)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Final

import click

from nsm._version import __version__
from nsm.cli import errors
from nsm.settings.document import ABOUT

FILES: Final = (
    ("~/.config/nsm/config.toml, /etc/nsm/config.toml", "Settings; the first that is there. nsm config init writes one."),
    ("~/.local/state/nsm, /var/lib/nsm", "Store, logs and reports of a user, and of root. --data and NSM_DATA name another."),
    ("~/.cache/nsm", "Compiled kernels; made anew when they are missing."),
)  # fmt: skip
ENVIRONMENT: Final = (
    ("NSM_CONFIG, NSM_DATA", "As --config and --data."),
    ("NSM_SECTION__KEY", "A setting, with two underscores for each dot: NSM_FLOW__TCP_NEW_S=20."),
    ("NO_COLOR, FORCE_COLOR", "No colours; colours where the output is no terminal."),
)


@click.command(name="man", short_help="Print the manual page.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Print the manual page, of all commands.

    \b
      nsm man | man -l -
      nsm man > ~/.local/share/man/man1/nsm.1
    """
    root = ctx.find_root()
    if not isinstance(root.command, click.Group):  # not reached: nsm is a group
        raise click.UsageError("there are no commands")
    click.echo("\n".join(page(root.command)))


def page(group: click.Group) -> Iterator[str]:
    """The lines of the page in the man macros."""
    yield f'.TH NSM 1 "" "netsecmonitor {__version__}" "User Commands"'
    yield from (".SH NAME", r"nsm \- network security monitor")
    yield from (".SH SYNOPSIS", ".B nsm", r"[\fIoptions\fR] \fIcommand\fR [\fIarguments\fR]")
    yield from (".SH DESCRIPTION", *_prose(inspect.cleandoc(group.help or "")))
    context = click.Context(group, info_name="nsm", **group.context_settings)
    yield ".SH OPTIONS"
    yield from _options(group, context)
    yield ".SH COMMANDS"
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if found is not None and not found.hidden:
            yield from _command(found, click.Context(found, info_name=name, parent=context))
    yield from (".SH CONFIGURATION", ".nf", *map(_text, ABOUT.splitlines()), ".fi")
    yield from (".SH FILES", *_terms(FILES))
    yield from (".SH ENVIRONMENT", *_terms(ENVIRONMENT))
    yield from (".SH EXIT STATUS", *_terms((str(code), text) for code, text in errors.EXIT_CODES))


def _command(found: click.Command, context: click.Context) -> Iterator[str]:
    yield ".SS " + _text(context.command_path + " " + " ".join(found.collect_usage_pieces(context)))
    yield from _prose(inspect.cleandoc(found.help or ""))
    yield from _options(found, context)
    if found.epilog:
        yield ".PP"
        yield from _prose(inspect.cleandoc(found.epilog))
    if isinstance(found, click.Group):
        for name in found.list_commands(context):
            inner = found.get_command(context, name)
            if inner is not None:
                yield from _command(inner, click.Context(inner, info_name=name, parent=context))


def _options(found: click.Command, context: click.Context) -> Iterator[str]:
    records = (param.get_help_record(context) for param in found.get_params(context) if isinstance(param, click.Option))
    yield from _terms(record for record in records if record is not None)


def _terms(rows: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Iterator[str]:
    for term, text in rows:
        yield from (".TP", f"\\fB{_text(term)}\\fR", _text(text))


def _prose(text: str) -> Iterator[str]:
    r"""Paragraphs; one that begins with click's ``\b`` keeps its lines."""
    for number, paragraph in enumerate(text.split("\n\n")):
        lines = paragraph.splitlines()
        if number:
            yield ".PP"
        if lines and lines[0] == "\b":
            yield from (".nf", *map(_text, lines[1:]), ".fi")
        else:
            yield _text(" ".join(line.strip() for line in lines))


def _text(text: str) -> str:
    r"""Text as roff takes it: no escapes of its own, and no line that is a request."""
    plain = text.replace("\\", r"\e").replace("-", r"\-").replace("\b", "")
    return r"\&" + plain if plain.startswith((".", "'")) else plain
