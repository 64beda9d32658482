"""`otel-llm completion bash|zsh|fish`: the script by which a shell completes commands, options and session ids.

    eval "$(otel-llm completion bash)"              in ~/.bashrc
    eval "$(otel-llm completion zsh)"               in ~/.zshrc
    otel-llm completion fish > ~/.config/fish/completions/otel-llm.fish
"""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell; ids are completed with the sessions of the store."""
    found = get_completion_class(shell)
    assert found is not None
    root = click.get_current_context().find_root().command
    # the class's own `source` starts a shell to ask for its version, which is of no use to those who redirect the script
    click.echo(ShellComplete.source(found(root, {}, "otel-llm", "_OTEL_LLM_COMPLETE")))
