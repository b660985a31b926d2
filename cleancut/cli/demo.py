"""`cleancut demo`: the whole thing on this machine, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import click

from cleancut.cli.settings import Verb, settings_of


@click.command(cls=Verb, context_settings={"ignore_unknown_options": True})
@click.option(
    "--qdrant", type=click.Choice(["real", "standin"]), help="Default: a real one if there is one."
)
@click.option("--keep", is_flag=True, help="Leave the cluster running until Ctrl-C.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def demo(
    context: click.Context, /, qdrant: str | None, keep: bool, arguments: tuple[str, ...]
) -> int:
    """Start a small cluster, back it up, lose it and restore it."""
    command = [sys.executable, "-m", "devcluster.demo", *arguments]
    command += ["--qdrant", qdrant] if qdrant else []
    command += ["--keep"] if keep else []
    command += ["-o", "json"] if settings_of(context).output == "json" else []
    process = subprocess.Popen(command)
    # The terminal sends Ctrl-C to both; the demo stops its cluster and we report how it ended.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code
