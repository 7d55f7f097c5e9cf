"""``nsm completion``: the script that teaches a shell to complete ``nsm``."""

from __future__ import annotations

import click

PLACES = {
    "bash": "~/.local/share/bash-completion/completions/nsm",
    "zsh": "a directory of $fpath, as _nsm",
    "fish": "~/.config/fish/completions/nsm.fish",
}


@click.command(name="completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(sorted(PLACES)))
def command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
      nsm completion bash > ~/.local/share/bash-completion/completions/nsm
      nsm completion fish > ~/.config/fish/completions/nsm.fish
      source <(nsm completion zsh)
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if kind is None:  # not reached while PLACES has only what click knows
        raise click.UsageError(f"no completion for {shell}")
    # Only the script: its first call of nsm names the commands.
    click.echo(kind(root, {}, "nsm", "_NSM_COMPLETE").source())
