"""Command lines of pages and alerts, parsed as the program parses them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from cleancut.cli.main import root
from cleancut_solo.main import cli as solo


def parse(words: Sequence[str]) -> None:
    """`words`: after `cleancut`. Raises: AssertionError, ClickException, for what it would not
    take."""
    command: click.Command = root
    rest = list(words)
    while True:
        context = command.make_context(command.name, list(rest))
        if not isinstance(command, click.Group):
            break
        _, command, rest = command.resolve_command(context, context._protected_args + context.args)
    assert not isinstance(command, click.Group), words
    if command.name == "solo":
        solo.make_parser(click.Context(solo)).parse_args(list(context.params["arguments"]))
