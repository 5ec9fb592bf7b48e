# SPDX-License-Identifier: GPL-2.0-or-later
"""gwctl completion"""

import click

from .base import output


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    For bash: gwctl completion bash > /usr/share/bash-completion/completions/gwctl
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    script = found(ctx.find_root().command, {}, "gwctl", "_GWCTL_COMPLETE").source()
    output().show({"shell": shell, "script": script}, script)
