"""``nsm config``: make, check, show and change the configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nsm.cli import output
from nsm.cli.context import Context
from nsm.errors import SettingsError

if TYPE_CHECKING:
    from nsm.settings.section import SettingsField


@click.group(name="config", short_help="Make, check, show and change the configuration.")
def command() -> None:
    """Make, check, show and change the configuration.

    \b
      nsm config init                            a file with every setting, commented
      nsm config show --source                   what is in effect, and where it is from
      nsm config set flow.tcp_new_s 20           change one setting in the file
    """


@command.command()
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.argument("file", required=False)
@click.pass_obj
def init(context: Context, file: str | None, force: bool) -> None:
    """Write a configuration file with every setting at its default, commented."""
    from nsm.run.schema import collect
    from nsm.settings.document import example
    from nsm.settings.edit import write

    path = _target(context, file)
    if path.suffix.lower() != ".toml":
        raise SettingsError(f"{path} is not named .toml", where="nsm config init", mend="nsm config init config.toml")
    if path.exists() and not force:
        raise SettingsError(f"{path} is there already", where="nsm config init", mend="nsm config init --force")
    write(path, example(collect()))
    context.note(f"written: {path}")


@command.command()
@click.argument("file", required=False)
@click.pass_obj
def check(context: Context, file: str | None) -> None:
    """Check the configuration; the first fault is said with its line."""
    if file is not None:
        context.config = file
    settings = context.settings()
    settings.check()
    changed = sum(settings.origin(key) != "default" for key in settings.fields)
    click.echo(f"ok: {changed} of {len(settings.fields)} settings changed")


@command.command()
@click.argument("section", required=False)
@click.option("--source", is_flag=True, help="Also where each value is from.")
@click.option("--changed", is_flag=True, help="Only what is not at its default.")
@output.output_options
@click.pass_obj
def show(
    context: Context, section: str | None, source: bool, changed: bool, form: str, output_file: str | None, raw: bool
) -> None:
    """Show the settings in effect; secrets are masked."""
    settings = context.settings()
    keys = [key for key in settings.fields if section is None or key == section or key.startswith(f"{section}.")]
    if not keys:
        from nsm.settings.load import unknown_key

        raise unknown_key(str(section), [*{field.section for field in settings.fields.values()}], "nsm config show")
    values = settings.values()
    rows: list[dict[str, Any]] = [
        {"key": key, "value": values[key], "source": settings.origin(key)}
        for key in sorted(keys)
        if not changed or settings.origin(key) != "default"
    ]
    columns = ("key", "value", "source") if source else ("key", "value")
    with output.opened(output_file) as stream:
        output.write_rows(
            ({name: row[name] for name in columns} for row in rows),
            columns, form=form, to=stream, raw=raw, colour=context.colour,
        )  # fmt: skip


@command.command(name="set")
@click.argument("key")
@click.argument("value")
@click.pass_obj
def set_value(context: Context, key: str, value: str) -> None:
    """Change one setting in the configuration file; checked before it is written."""
    from nsm.run.schema import collect
    from nsm.settings.document import example
    from nsm.settings.edit import with_value, write
    from nsm.settings.load import load_text
    from nsm.settings.sources import read_text

    path = _target(context, None)
    if path.suffix.lower() != ".toml":
        raise SettingsError(f"only TOML files are changed, not {path}", where=str(path), mend="edit it")
    sections = collect()
    field, plain = _parsed(sections, key, value)
    text = with_value(read_text(path) if path.exists() else example(sections), field.section, field.name, plain)
    load_text(sections, path, text)
    write(path, text)
    context.note(f"{key} is set in {path}")
    if _runs(context):
        context.note("the service that runs has read the file already: it takes this up when it starts again")


@command.command()
@click.pass_obj
def path(context: Context) -> None:
    """Print the configuration file in use; when there is none, the places that were tried."""
    from nsm.settings.places import config_file, config_places

    found = config_file(context.config, context.environ)
    if found is None:
        context.note("no configuration file; looked for:")
        for place in config_places(context.environ):
            context.note(f"  {place}")
        return
    click.echo(str(found), file=sys.stdout)


def _runs(context: Context) -> bool:
    """Does a service of this data directory run?"""
    from nsm.errors import NsmError
    from nsm.run.control import ask

    try:
        ask(context.data_dir(), "state", 1.0)
    except NsmError:
        return False
    return True


def _target(context: Context, named: str | None) -> Path:
    """The file to write: the named one, the one in use, else the user's own."""
    from nsm.settings.places import config_file, config_places

    chosen = named or context.config or context.environ.get("NSM_CONFIG")
    if chosen:
        return Path(chosen).absolute()
    return config_file(None, context.environ) or config_places(context.environ)[0]


def _parsed(sections: Any, key: str, value: str) -> tuple[SettingsField, Any]:
    """The declaration of a key and the text as its value; SettingsError as any other source gives it."""
    import msgspec

    from nsm.settings.load import load

    settings = load(sections, environ={}, flags={key: value})
    return settings.fields[key], msgspec.to_builtins(settings.value(key))
