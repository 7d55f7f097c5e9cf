"""Watch the network: capture, detect, store, and show it on a page."""

from __future__ import annotations

import click

from nsm.cli.context import Context


@click.command(
    "run",
    epilog="""\b
Examples:
  sudo nsm run                          watch the interface of the default route
  sudo nsm run -i eth0 -i wlan0         watch two interfaces
  nsm run --listen 0.0.0.0:8052         let other machines see the page
\b
Exit codes: 0 ended by Ctrl-C, 2 usage, 3 no such interface or a store of a newer version, 5 the service failed""",
)
@click.option("-i", "--interface", "names", multiple=True, help="Interface to watch; may be given again.")
@click.option("--filter", "bpf", default=None, help="Capture filter, as of tcpdump.")
@click.option("--listen", default=None, help="Address and port of the page (127.0.0.1:8052).")
@click.option("--or-demo", is_flag=True, help="Without the permission to capture, show the demo meanwhile.")
@click.pass_obj
def command(ctx: Context, names: tuple[str, ...], bpf: str | None, listen: str | None, or_demo: bool) -> None:
    """Watch the network: capture, detect, store, and show it on a page."""
    from nsm.run.service import run_service

    flags = {"capture.interfaces": list(names) or None, "capture.filter": bpf, "serve.listen": listen}
    run_service(ctx, {key: value for key, value in flags.items() if value is not None}, fall_back=or_demo)
