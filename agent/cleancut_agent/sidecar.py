"""Sidecar: the command line of an agent that stays whatever is wrong with it (`--stay`).

In a database's pod a container that ends takes the whole pod out of service. So a flag that this
version does not know is left out with a warning, and any other usage error is tried again later,
as what else is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from cleancut.core.primitives.errors import Invalid
from cleancut.daemon_settings import ENV_PREFIX
from cleancut.runtime.commands import Command

STAY = "--stay"
_ENDS = {"--help", "--version"}
_NO = {"", "0", "false", "no", "off", "n", "f"}
_LENIENT: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": True}


class SidecarCommand(Command):
    """A command whose unknown flags are left out if it is asked to stay."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if STAY in args:
            extra = {**_LENIENT, **extra}
        return super().make_context(info_name, args, parent, **extra)


def stays(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the process must outlive a command line that cannot be used."""
    if _ENDS & set(arguments):
        return False
    return STAY in arguments or environment.get(f"{ENV_PREFIX}_STAY", "").lower() not in _NO


def parsed(command: click.Command, arguments: Sequence[str]) -> click.Context:
    """The command line, with `args` what was left out of it. Raises: Invalid."""
    try:
        return command.make_context(command.name, [*arguments], **_LENIENT)
    except click.ClickException as error:
        raise Invalid(
            f"the command line cannot be used: {error.format_message()}",
            "image and values belong to one version: render the values again, or correct them",
        ) from error


def readable(command: click.Command, arguments: Sequence[str]) -> dict[str, Any]:
    """Those flags that can be read; None for the others."""
    lenient = {**_LENIENT, "resilient_parsing": True}
    return dict(command.make_context(command.name, [*arguments], **lenient).params)
