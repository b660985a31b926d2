"""Arguments, flags and questions shared by several verbs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from cleancut.cli.settings import parse_duration
from cleancut.cli.terminal import answers
from cleancut.cli.wait import WAIT_S
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.timestamps import format_time

F = TypeVar("F", bound=Callable[..., Any])


def backup_name(_context: click.Context, _argument: click.Parameter, value: str) -> str:
    """`17` of `#17`; an id, or `latest`, as it is."""
    name = value.removeprefix("#")
    if not name:
        raise click.BadParameter("give a backup's number, such as 17, or its id")
    return name


class _Time(click.ParamType[str]):
    """RFC 3339, or a duration: so long ago. Its value is RFC 3339 in UTC."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return self._ago(value, param, ctx)
        if found.tzinfo is None:
            self.fail(f"{value!r} names no time zone; end it with Z for UTC, or +02:00", param, ctx)
        return format_time(found.timestamp())

    def _ago(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            ago_s = parse_duration(value.removesuffix("ago").strip())
        except (click.BadParameter, ValueError):
            self.fail(
                f"{value!r} is neither a time, such as 2026-01-31T14:03:00Z, nor a duration, such"
                " as 5m",
                param,
                ctx,
            )
        return format_time(datetime.now(UTC).timestamp() - ago_s)


def completed(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """What TAB completes; see `cleancut.cli.completion`."""

    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from cleancut.cli import completion

        return completion.complete(kind, context, incomplete)

    return complete


TIME = _Time()
backup_argument = click.argument(
    "backup_id",
    metavar="BACKUP",
    callback=backup_name,
    shell_complete=completed("backups"),
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
collections_option = click.option(
    "--collection",
    "-c",
    "collections",
    multiple=True,
    metavar="NAME",
    shell_complete=completed("collections"),
    help="Only this one; repeatable. Default: all.",
)
request_id_option = click.option(
    "--request-id",
    metavar="UUID",
    default=lambda: str(uuid.uuid4()),
    help="A repeat of the call with the same id starts nothing new. Default: a random one.",
)
limit_option = click.option(
    "--limit", type=click.IntRange(1, 500), default=50, help="How many to show, newest first."
)
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=parse_duration,
    metavar="DURATION",
    default=WAIT_S,
    show_default="24h",
    help="How long to wait; the operation continues after that.",
)


def wait_options(function: F) -> F:
    """--wait/--no-wait and --timeout."""
    function = timeout_option(function)
    wait = click.option("--wait/--no-wait", default=True, help="Wait for the end.")
    return wait(function)


def confirm(question: str, *, yes: bool) -> None:
    """Returns once the user agrees. Raises: UsageError without a terminal; Refused, for a no."""
    if yes:
        return
    if not answers():
        raise click.UsageError(f"{question}: confirm with --yes, since stdin is not a terminal")
    if not click.confirm(question, err=True):
        raise Refused("not confirmed; nothing was done", "answer y to go on, or give --yes")
