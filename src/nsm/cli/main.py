"""``nsm``: finds the commands, imports the one that is called, and alone catches what they raise."""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import click

import nsm.cli
from nsm._version import __version__
from nsm.cli import errors
from nsm.cli.context import Context
from nsm.errors import NsmError

COMPLETE_VARIABLE: Final = "_NSM_COMPLETE"  # set by the script that `nsm completion` prints

# Listed first and in this order, since these are what people come for; the others follow by name.
FIRST: Final = ("run", "demo", "read", "capture", "top", "alerts", "flows", "hosts", "query", "scan", "report")


class Commands(click.Group):
    """The commands are the modules of ``nsm.cli`` that have ``command``, a click command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, the common ones first."""
        found = set()
        for module in _module_names():
            try:
                command = _command_of(module)
            except ImportError as error:  # one broken command must not hide the others
                errors.show(f"cannot load the command in {module}: {error}", f"nsm.cli.{module}")
                continue
            if command is not None:
                found.add(command.name or "")
        return [name for name in FIRST if name in found] + sorted(found.difference(FIRST))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now; None when there is none."""
        modules = _module_names()
        module = cmd_name.replace("-", "_")
        # Almost always the module is named like its command; else look into the others.
        for name in [module] * (module in modules) + [name for name in modules if name != module]:
            command = _command_of(name)
            if command is not None and command.name == cmd_name:
                return _with_common_options(command)
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but an unknown name is answered with the nearest one."""
        name = args[0]
        if ctx.resilient_parsing or name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
        raise UnknownCommandError(name, near[0] if near else "", ctx)


class UnknownCommandError(click.UsageError):
    """The first word is no command."""

    def __init__(self, name: str, near: str, ctx: click.Context) -> None:
        super().__init__(f"there is no command {name}", ctx)
        self.mend = f"did you mean {near}?" if near else "nsm --help   lists the commands"


def _module_names() -> list[str]:
    return [info.name for info in pkgutil.iter_modules(nsm.cli.__path__)]


def _command_of(module: str) -> click.Command | None:
    command = getattr(importlib.import_module(f"nsm.cli.{module}"), "command", None)
    return command if isinstance(command, click.Command) else None


# The options in common, before the command or after it.


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Note a common option in the context object; the strongest place is the last one that names it."""
    context = ctx.find_root().ensure_object(Context)
    if value is None or value is False or value == 0 or param.name is None:
        return value
    if param.name == "verbose":
        context.verbosity = value
    elif param.name == "quiet":
        context.verbosity = -1
    else:
        setattr(context, param.name, value)
    return value


def _common_options(*, hidden: bool) -> list[click.Option]:
    def option(*names: str, **rest: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=_keep, is_eager=True, hidden=hidden, **rest)

    return [
        option("--config", metavar="FILE", help="Configuration file (else NSM_CONFIG, the user's, /etc/nsm)."),
        option("--data", metavar="DIR", help="Where store and logs are (else NSM_DATA, the user's state directory)."),
        option("-v", "--verbose", count=True, help="Say more on stderr; twice: everything."),
        option("-q", "--quiet", is_flag=True, help="No progress and no notes on stderr."),
        option("--no-color", is_flag=True, help="No colours; NO_COLOR does the same."),
        option("--debug", is_flag=True, help="Show the traceback of an error."),
    ]


def _with_common_options(command: click.Command) -> click.Command:
    """The command, taking the common options too where it has no option of that name itself."""
    taken = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    taken_names = {param.name for param in command.params}
    for option in _common_options(hidden=True):
        if option.name not in taken_names:
            # A command may use -v or -q for something else: it keeps the short form.
            option.opts = [name for name in option.opts if name not in taken]
            if option.opts:
                command.params.append(option)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _with_common_options(child)
    if command.epilog is None:
        command.epilog = "\b\nOptions in common: nsm --help\nExit codes: nsm help exit-codes"
    return command


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"nsm {__version__}")
        ctx.exit()


@click.pass_context
def _alone(ctx: click.Context) -> None:
    ctx.ensure_object(Context)
    if ctx.invoked_subcommand is None:
        click.echo(overview(ctx.obj))
    else:
        ctx.obj.start_logging()


def overview(context: Context) -> str:
    """What ``nsm`` alone prints: the state in three lines and three commands to go on with."""
    data = context.data_dir()
    kept = data.exists()
    return "\n".join(
        [
            f"netsecmonitor {__version__}",
            f"data: {data}{'' if kept else '   (nothing yet)'}",
            f"service: {'running' if _answers(data) else 'not running'}",
            "",
            "  sudo nsm run          watch this machine's network in the browser",
            "  nsm read FILE.pcap    find out what is in a capture",
            "  nsm status            is it running, and what has it seen"
            if kept
            else "  nsm demo              see it with made-up traffic, no root needed",
            "",
            "nsm --help lists every command.",
        ]
    )


def _answers(data: Path) -> bool:
    """Whether a service that keeps its data there listens; by hand, since the client of it loads half the program."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(0.5)
        try:
            sock.connect(str(data / "run" / "control.sock"))
        except OSError:
            return False
    return True


def group() -> click.Group:
    """The command line as a click group; made anew for each call, so that nothing is kept between them."""
    version = click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_version,
        help="Show the version.",
    )
    return Commands(
        name="nsm",
        help="See and understand the security of a network.\n\n\b\n"
        "  sudo nsm run                     watch live, page on http://127.0.0.1:8052\n"
        "  nsm read trace.pcap --json       events of a capture as JSON lines\n"
        "  nsm alerts --last 24h            what was found",
        epilog="\b\nHelp on a command: nsm COMMAND --help\nMore: nsm help exit-codes|filter|fields|config",
        params=[*_common_options(hidden=False), version],
        callback=_alone,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def run(argv: Sequence[str], context: Context | None = None) -> int:
    """Run one call and return its exit code; nothing is raised."""
    context = context or Context()
    root = group()
    try:
        with root.make_context("nsm", list(argv), obj=context) as ctx:
            root.invoke(ctx)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except BrokenPipeError:
        # The reader went away, as `| head` does. What Python would still flush at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.OK
    except (KeyboardInterrupt, click.Abort):
        return errors.INTERRUPTED
    except (NsmError, click.ClickException) as error:
        if context.debug:
            _print_traceback()
        errors.show_error(error)
        return errors.exit_code(error)
    except Exception as error:  # noqa: BLE001  # the last place that can tell the person anything
        if context.debug:
            _print_traceback()
            errors.show_error(error)
        else:
            errors.show_fault(error, context.data_dir())
        return errors.INTERNAL
    return errors.OK


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def main() -> NoReturn:
    """The program ``nsm``."""
    if COMPLETE_VARIABLE in os.environ:
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(group(), {}, "nsm", COMPLETE_VARIABLE, os.environ[COMPLETE_VARIABLE]))
    sys.exit(run(sys.argv[1:]))
