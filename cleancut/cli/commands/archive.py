"""`cleancut archive` and `cleancut mark`: the continuous archive of the shards' logs."""

from __future__ import annotations

import click

from cleancut.cli.render.output import emit
from cleancut.cli.settings import Noun, Verb, parse_duration, settings_of
from cleancut.cli.wait import ask


@click.group(cls=Noun, name="archive")
def archive() -> None:
    """Show the continuous archive of the shards' logs."""


@archive.command()
@click.pass_context
def status(context: click.Context, /) -> None:
    """Show what of each shard is archived, and what would be lost with its disk now."""
    settings = settings_of(context)
    emit(settings.output, "archive", ask(settings, lambda client: client.archive()))


@click.command(cls=Verb)
@click.argument("name")
@click.option(
    "--timeout",
    "timeout_s",
    type=parse_duration,
    default="30s",
    metavar="DURATION",
    help="How long a moment without writes is looked for.",
    show_default=True,
)
@click.pass_context
def mark(context: click.Context, /, name: str, timeout_s: float) -> None:
    """Name a moment at which no archived shard was written to, such as before a migration."""
    settings = settings_of(context)
    taken = ask(settings, lambda client: client.take_mark(name, timeout_s=timeout_s))
    emit(settings.output, "mark", taken)
