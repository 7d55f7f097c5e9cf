"""``nsm notify``: the channels over which people and other systems are told, and a test of each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from nsm.cli.context import Context
from nsm.cli.output import opened, output_options, write_rows

if TYPE_CHECKING:
    from nsm.run.notice_channels import Outlet

COLUMNS = ("name", "state", "sent", "waiting", "given_up", "unsure", "last_sent", "error")


@click.group(
    name="notify",
    short_help="How alerts are told: mail, webhook, syslog, ...",
    invoke_without_command=True,
    epilog="\b\nExamples:\n  nsm notify list\n  nsm notify test\n  nsm notify test mail\n"
    "\b\nSet a channel:  nsm config set notify.webhook.url file:/etc/nsm/webhook-url\n"
    "Exit codes: 0 ok, 2 a setting is wrong, 5 a message did not arrive",
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show and test the channels over which alerts are told."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(shown)


@command.command("list")
@output_options
@click.pass_obj
def shown(context: Context, form: str, output_file: str | None, raw: bool) -> None:
    """List the channels that are set: how they are, what was sent, what failed."""
    states = _states(context)
    rows = [_row(outlet, states, context) for outlet in _outlets(context)]
    with opened(output_file) as stream:
        write_rows(rows, COLUMNS, form=form, to=stream, raw=raw, colour=context.colour)
    if not rows:
        context.note("no channel is set; nsm config show notify   lists the settings")


@command.command()
@click.argument("channel", required=False)
@click.pass_obj
def test(context: Context, channel: str | None) -> None:
    """Send a test message to a channel, or to all; the service need not run."""
    from nsm.errors import DeliveryError, QueryError
    from nsm.run.notice_trial import trial

    outlets = _outlets(context)
    wanted = [outlet for outlet in outlets if channel in (None, outlet.name)]
    if not wanted:
        names = ", ".join(outlet.name for outlet in outlets)
        raise QueryError(
            f"there is no channel {channel}" if channel else "no channel is set",
            where="nsm notify test", mend=f"one of: {names}" if names else "nsm config show notify",
        )  # fmt: skip
    failed: list[DeliveryError] = []
    for outlet in wanted:
        try:
            trial(outlet)
            click.echo(f"{outlet.name}: sent")
        except DeliveryError as error:
            failed.append(error)
            context.note(f"{outlet.name}: failed")
    if failed:
        first = failed[0]
        many = f" ({len(failed)} of {len(wanted)} channels failed)" if len(failed) > 1 else ""
        raise DeliveryError(
            f"{first}{many}", where=first.where or "notify", mend=first.mend or "nsm config show notify"
        )


def _outlets(context: Context) -> list[Outlet]:
    from nsm.run.notice_channels import outlets, values_of

    return outlets(values_of(context.settings()))


def _states(context: Context) -> dict[str, dict[str, Any]]:
    """What the running service says of its channels; empty when none runs."""
    from nsm.errors import ServiceError
    from nsm.run.control import ask

    try:
        return {one["name"]: one for one in ask(context.data_dir(), "notify")["channels"]}
    except ServiceError:
        return {}


def _row(outlet: Outlet, states: dict[str, dict[str, Any]], context: Context) -> dict[str, Any]:
    state = states.get(outlet.name) or _kept(outlet.name, context)
    counts, sent = state["counts"], state["sent"]
    return {
        "name": outlet.name, "state": state["state"], "sent": counts.get("sent", 0), "waiting": counts.get("waiting", 0),
        "given_up": counts.get("dead", 0) + counts.get("dropped", 0), "unsure": counts.get("unsure", 0),
        "last_sent": time.strftime("%Y-%m-%d %H:%M", time.localtime(sent)) if sent else None, "error": state["error"],
    }  # fmt: skip


def _kept(name: str, context: Context) -> dict[str, Any]:
    """What the outbox knows of a channel that no service has in hand."""
    from nsm.store.database import DATABASE
    from nsm.store.notices import NoticeStore

    if not (context.data_dir() / DATABASE).exists():
        return {"state": "off", "counts": {}, "sent": None, "error": ""}
    store = NoticeStore(context.data_dir())
    try:
        return {"state": "off", "counts": store.counts(name), **store.last(name)}
    finally:
        store.close()
