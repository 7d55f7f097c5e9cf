"""``nsm users``: who may use the page, and tokens for programs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from nsm.cli.context import Context
from nsm.cli.output import opened, output_options, write_rows
from nsm.errors import AccountError

if TYPE_CHECKING:
    from nsm.store.accounts import Accounts

ROLES = ("viewer", "analyst", "admin")


@click.group(
    name="users",
    short_help="Who may use the page; tokens for programs.",
    invoke_without_command=True,
    epilog="\b\nExamples:\n  nsm users\n  nsm users add alex --role analyst\n  nsm users token add alex --scope viewer --days 30",
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show, add and change users.

    A viewer looks, an analyst also handles alerts, scans and reports, an admin may everything.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(shown)


@command.command("list")
@output_options
@click.pass_obj
def shown(context: Context, form: str, output_file: str | None, raw: bool) -> None:
    """List the users."""
    accounts = _accounts(context)
    rows: list[dict[str, Any]] = [
        {
            "name": user.name,
            "role": user.role,
            "added": _day(user.created_us),
            "tokens": len(accounts.tokens(user.name)),
        }
        for user in accounts.users()
    ]
    with opened(output_file) as stream:
        write_rows(rows, ("name", "role", "added", "tokens"), form=form, to=stream, raw=raw, colour=context.colour)


@command.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="viewer", show_default=True)
@click.option("--password", is_flag=True, help="Ask for the password now, in place of a one-time link.")
@click.pass_obj
def add(context: Context, name: str, role: str, password: bool) -> None:
    """Add a user; prints a one-time link through which they set their password."""
    accounts = _accounts(context)
    if password:
        accounts.add_user(name, click.prompt("Password", hide_input=True, confirmation_prompt=True), role)
        context.note(f"added: {name}, {role}")
    else:
        accounts.invite(name, role)
        _link(context, accounts, name)
    accounts.audit(_who(), "user added", f"{name} {role}")


@command.command()
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@click.pass_obj
def role(context: Context, name: str, role: str) -> None:
    """Give a user another role."""
    accounts = _accounts(context)
    accounts.set_role(name, role)
    accounts.audit(_who(), "role changed", f"{name} {role}")
    context.note(f"{name} is {role} now")


@command.command()
@click.argument("name")
@click.pass_obj
def remove(context: Context, name: str) -> None:
    """Remove a user; their sessions and tokens end at once."""
    accounts = _accounts(context)
    accounts.remove_user(name)
    accounts.audit(_who(), "user removed", name)
    context.note(f"removed: {name}")


@command.command()
@click.argument("name", default="admin")
@click.pass_obj
def link(context: Context, name: str) -> None:
    """Print a new one-time link: its user sets a (new) password."""
    accounts = _accounts(context)
    users = accounts.users()
    if users and all(user.name != name for user in users):
        raise AccountError(f"there is no user {name}", where="nsm users link", mend="nsm users")
    _link(context, accounts, name)
    accounts.audit(_who(), "link made", name)


@command.group()
def token() -> None:
    """Tokens for programs: sent as "Authorization: Bearer TOKEN"."""


@token.command("add")
@click.argument("name")
@click.option("--scope", type=click.Choice(ROLES), default="viewer", show_default=True, help="The most it may do.")
@click.option("--days", type=click.IntRange(1, 3_660), default=90, show_default=True)
@click.option("--label", default="", help="What it is for.")
@click.pass_obj
def add_token(context: Context, name: str, scope: str, days: int, label: str) -> None:
    """Make a token of a user; its text is shown once."""
    accounts = _accounts(context)
    made = accounts.make_token(name, label, scope, days)
    accounts.audit(_who(), "token made", f"{made.id} {name} {scope} {days} d {label}")
    click.echo(made.token)
    context.note(f"token {made.id} of {name}, {scope}, until {_day(made.until_us)}; it is not shown again")


@token.command("list")
@output_options
@click.pass_obj
def list_tokens(context: Context, form: str, output_file: str | None, raw: bool) -> None:
    """List the tokens that have not ended."""
    rows: list[dict[str, Any]] = [
        {"id": one.id, "name": one.name, "label": one.label, "scope": one.scope, "until": _day(one.until_us),
         "used": _day(one.used_us) if one.used_us else "never"}
        for one in _accounts(context).tokens()
    ]  # fmt: skip
    columns = ("id", "name", "label", "scope", "until", "used")
    with opened(output_file) as stream:
        write_rows(rows, columns, form=form, to=stream, raw=raw, colour=context.colour)


@token.command()
@click.argument("number", type=int)
@click.pass_obj
def revoke(context: Context, number: int) -> None:
    """End a token."""
    accounts = _accounts(context)
    if not accounts.revoke_token(number):
        raise AccountError(f"there is no token {number}", where="nsm users token revoke", mend="nsm users token list")
    accounts.audit(_who(), "token ended", str(number))
    context.note(f"token {number} has ended")


def _accounts(context: Context) -> Accounts:
    from nsm.store.accounts import Accounts  # loads SQLite and Argon2

    return Accounts(context.data_dir())


def _link(context: Context, accounts: Accounts, name: str) -> None:
    from nsm.serve.settings import SETTINGS, login_address

    click.echo(login_address(context.section(SETTINGS), accounts.make_login_link(name)))
    context.note("open it within a day to set the password")


def _who() -> str:
    return "command line"


def _day(us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(us / 1e6))
