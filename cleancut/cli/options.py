"""Flags and questions that several verbs have in common."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cleancut.cli.settings import parse_duration
from cleancut.cli.wait import WAIT_S

F = TypeVar("F", bound=Callable[..., Any])

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
collections_option = click.option(
    "--collection",
    "-c",
    "collections",
    multiple=True,
    metavar="NAME",
    help="Only this one; repeatable. Default: all.",
)
request_id_option = click.option(
    "--request-id",
    metavar="UUID",
    default=lambda: str(uuid.uuid4()),
    help="Makes repeats of this call harmless. Default: a new one.",
)
limit_option = click.option(
    "--limit", type=click.IntRange(1, 500), default=50, help="At most so many, newest first."
)
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=parse_duration,
    metavar="DURATION",
    default=WAIT_S,
    show_default="24h",
    help="How long to wait; the operation goes on after that.",
)


def wait_options(function: F) -> F:
    """--wait/--no-wait and --timeout."""
    function = timeout_option(function)
    wait = click.option("--wait/--no-wait", default=True, help="Wait for the end.")
    return wait(function)


def confirm(question: str, *, yes: bool) -> None:
    """Returns if the user means it. Raises: UsageError without a terminal, Abort for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question}: needs --yes where nobody can be asked")
    click.confirm(question, abort=True, err=True)
