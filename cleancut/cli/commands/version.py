"""`cleancut version` and `cleancut completion`: commands that need no cluster."""

from __future__ import annotations

import platform

import click
from click.shell_completion import get_completion_class

from cleancut import __version__
from cleancut.cli.render.output import emit_facts
from cleancut.cli.settings import Verb, settings_of
from cleancut.cli.terminal import write_out


@click.command(cls=Verb)
@click.pass_context
def version(context: click.Context, /) -> None:
    """Show the versions of this program and of the formats that it reads and writes."""
    from cleancut.api.values import SCHEMA
    from cleancut.core.format.manifest import FORMAT

    facts = {
        "version": __version__,
        "json_schema": SCHEMA,
        "store_format": FORMAT,
        "python": platform.python_version(),
    }
    emit_facts(settings_of(context).output, "version", facts)


@click.command(cls=Verb)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, /, shell: str) -> None:
    """Print a completion script: `eval "$(cleancut completion bash)"`."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = context.find_root().command
    write_out(kind(root, {}, "cleancut", "_CLEANCUT_COMPLETE").source() + "\n")
