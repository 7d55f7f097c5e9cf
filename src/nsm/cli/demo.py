"""Show everything on generated packets: no privileges, its own temporary store."""

from __future__ import annotations

import click

from nsm.cli.context import Context


@click.command(
    "demo",
    epilog="""\b
Examples:
  nsm demo                              a bad quarter of an hour in a small office
  nsm demo --speed 5                    the same, faster
\b
Exit codes: 0 ended by Ctrl-C, 2 usage, 5 the service failed""",
)
@click.option(
    "--speed", type=click.FloatRange(0.1, 20.0), default=1.0, show_default=True, help="How much happens in a second."
)
@click.option("--listen", default=None, help="Address and port of the page (127.0.0.1:8052).")
@click.pass_obj
def command(ctx: Context, speed: float, listen: str | None) -> None:
    """Show everything on generated packets: no privileges, its own temporary store."""
    from nsm.run.service import run_service

    run_service(ctx, {"serve.listen": listen} if listen else {}, demo_speed=speed)
