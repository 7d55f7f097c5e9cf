"""``nsm backup``: a copy of the store, and the way back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nsm.cli.context import Context

if TYPE_CHECKING:
    from nsm.store.backup import Backup


@click.group(
    name="backup",
    short_help="Copy the store, and bring a copy back.",
    epilog="\b\nExamples:\n  nsm backup create /mnt/usb/nsm-monday\n  nsm backup check /mnt/usb/nsm-monday\n"
    "  nsm backup restore /mnt/usb/nsm-monday",
)
def command() -> None:
    """Copy the store to a folder, check a copy, bring one back."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.pass_obj
def create(context: Context, folder: Path) -> None:
    """Copy the store as it is now; the service may run meanwhile. Saved captures are left out."""
    from nsm.store import backup

    click.echo(_said(backup.create(context.data_dir(), folder)))
    left_out = context.data_dir() / "captures"
    if left_out.is_dir() and any(left_out.iterdir()):
        context.note(
            f"not in it: saved captures, which may be larger than all the rest; copy {left_out} if you want them"
        )


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
def check(folder: Path) -> None:
    """Read a copy to its last byte and say what it holds."""
    from nsm.store import backup

    click.echo(_said(backup.check(folder)))


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.pass_obj
def restore(context: Context, folder: Path) -> None:
    """Put a copy in the place of the store. The service must not run; the store that was there is kept beside it."""
    from nsm.store import backup

    held, before = backup.restore(folder, context.data_dir())
    click.echo(_said(held))
    if before is not None:
        context.note(f"the store that was there is now {before}")


def _said(held: Backup) -> str:
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(held.made_us / 1e6))
    return f"of {made}: {held.flows:,} flows, {held.alerts:,} alerts, {held.files:,} files, {held.bytes:,} bytes"
