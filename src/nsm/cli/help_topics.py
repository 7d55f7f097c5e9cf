"""``nsm help TOPIC``: what belongs to no single command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import click

from nsm.cli import errors


def _exit_codes() -> str:
    return "".join(f"{code:>4}  {text}\n" for code, text in errors.EXIT_CODES)


def _config() -> str:
    from nsm.settings.document import ABOUT

    return ABOUT


def _filter() -> str:
    """The grammar as its one parser describes it."""
    from nsm.store import grammar  # loads numpy and pyarrow: only for this topic

    text = inspect.cleandoc(grammar.__doc__ or "").replace("::\n", "").replace("``", "")
    return text + "\n\n  nsm query 'app:tls -name:*.example.com bytes:>1M' --last 24h\n"


def _fields() -> str:
    """Every field that a filter can ask for, by record type."""
    from nsm.store.catalog import TABLES, fields

    lines = []
    for table in TABLES.values():
        lines.append(f"{table.name}: {table.doc}")
        lines += [f"  {name:<14} {field.doc}".rstrip() for name, field in fields(table).items()]
    return "\n".join(lines) + "\n"


TOPICS: Final[dict[str, Callable[[], str]]] = {
    "exit-codes": _exit_codes,
    "filter": _filter,
    "fields": _fields,
    "config": _config,
}


@click.command(name="help", short_help="Explain exit codes, filters, fields, configuration.")
@click.argument("topic", required=False)
@click.pass_context
def command(ctx: click.Context, topic: str | None) -> None:
    """Explain what belongs to no single command, or a command.

    \b
      nsm help exit-codes
      nsm help filter
      nsm help read
    """
    if topic in TOPICS:
        click.echo(TOPICS[topic](), nl=False)
        return
    root = ctx.find_root()
    if topic is None:
        click.echo(root.get_help())
        click.echo(f"\nTopics: nsm help {'|'.join(TOPICS)}")
        return
    found: Any = root.command.get_command(root, topic) if isinstance(root.command, click.Group) else None
    if found is None:
        raise click.UsageError(f"no topic or command {topic}; topics are {', '.join(TOPICS)}", ctx)
    with click.Context(found, info_name=topic, parent=root) as of_command:
        click.echo(found.get_help(of_command))
