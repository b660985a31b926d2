"""`cleancut demo`: a small cluster on this machine, backed up, lost and restored."""

from __future__ import annotations

import os
import sys

import click

from cleancut.cli.settings import Verb, settings_of

MODULE = "cleancut_devcluster.demo.main"
"""Run as a program, by name: nothing of the core imports it."""


@click.command(cls=Verb, context_settings={"ignore_unknown_options": True})
@click.option(
    "--qdrant", type=click.Choice(["real", "standin"]), help="Default: real if one is installed."
)
@click.option("--keep", is_flag=True, help="Leave the cluster running until Ctrl-C.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def demo(
    context: click.Context, /, qdrant: str | None, keep: bool, arguments: tuple[str, ...]
) -> None:
    """Start a small cluster, back it up, lose it and restore it.

    More ARGUMENTS, such as --peers and --points, go to the demo: see `cleancut demo -- --help`.
    """
    command = [sys.executable, "-m", MODULE, *arguments]
    command += ["--qdrant", qdrant] if qdrant else []
    command += ["--keep"] if keep else []
    command += ["-o", "json"] if settings_of(context).output == "json" else []
    sys.stdout.flush()
    # It takes this process's place, so that signals and the exit code are its own.
    os.execv(command[0], command)
