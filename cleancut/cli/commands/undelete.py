"""`cleancut undelete`: points of a backup that a live collection lacks are put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cleancut.cli.commands.data.options import collection_option, selection_options, text_of
from cleancut.cli.commands.operations import list_operations, show_operation
from cleancut.cli.exit_codes import Exit, report_error, say
from cleancut.cli.options import (
    backup_argument,
    completed,
    confirm,
    limit_option,
    request_id_option,
    timeout_option,
    wait_options,
    yes_option,
)
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Noun, Settings, Verb, settings_of
from cleancut.cli.terminal import answers
from cleancut.cli.wait import Job, ask, conclude_cancel, run_job
from cleancut.core.primitives.errors import Refused

if TYPE_CHECKING:
    from cleancut.api.undeletes import Undelete, UndeleteOptions, UndeletePlan

_into = click.option("--into", default="", metavar="NAME", help="Another live collection.")
_overwrite = click.option(
    "--overwrite",
    is_flag=True,
    help="Also replace points that differ. Default: only what is missing; never replace a point.",
)
_id = click.argument("undelete_id", metavar="ID", shell_complete=completed("undeletes"))


@click.group(cls=Noun, name="undelete")
def undelete() -> None:
    """Put points of a backup back into a live collection."""


@undelete.command(cls=Verb)
@backup_argument
@collection_option
@selection_options
@_into
@_overwrite
@click.option("--quick", is_flag=True, help="Only show what would be read; count nothing.")
@timeout_option
@click.pass_context
def plan(
    context: click.Context,
    /,
    *,
    backup_id: str,
    collection: str,
    ids: tuple[str, ...],
    filter_: str | None,
    shard_keys: tuple[str, ...],
    into: str,
    overwrite: bool,
    quick: bool,
    timeout_s: float,
) -> Exit:
    """Count which selected points of a backup are missing; write nothing.

    Agents read the backup's shards and look the points up: an operation that ends without a write.
    Exit code 4: it would be refused.
    """
    settings = settings_of(context)
    options = _options((backup_id, collection), (ids, filter_, shard_keys), into, overwrite)
    made = _plan(settings, options)
    if quick or made.blockers:
        emit(settings.output, "plan", made)
        return report_error(_refusal(made)) if made.blockers else Exit.OK
    return _count(settings, options, timeout_s)[0]


@undelete.command(cls=Verb)
@backup_argument
@collection_option
@selection_options
@_into
@_overwrite
@click.option(
    "--rate",
    "points_per_s",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    show_default="as fast as it goes",
    help="Points a second at most, by all agents.",
)
@click.option(
    "--plan-digest",
    metavar="DIGEST",
    default="",
    help="Refuse the undelete if its plan has changed since.",
)
@yes_option
@wait_options
@request_id_option
@click.pass_context
def start(
    context: click.Context,
    /,
    *,
    backup_id: str,
    collection: str,
    ids: tuple[str, ...],
    filter_: str | None,
    shard_keys: tuple[str, ...],
    into: str,
    overwrite: bool,
    points_per_s: int,
    plan_digest: str,
    yes: bool,
    wait: bool,
    timeout_s: float,
    request_id: str,
) -> Exit:
    """Put points of a backup back into a live collection, without replacing any.

    On a terminal, without --yes, what is missing is counted first, and confirmed. Exit code 1 if a
    point is still missing afterwards.
    """
    from msgspec.structs import replace

    settings = settings_of(context)
    options = _options((backup_id, collection), (ids, filter_, shard_keys), into, overwrite)
    if not yes and answers():
        made = _plan(settings, options)
        plan_digest = plan_digest or made.digest
        if made.blockers:
            return report_error(_refusal(made))
        code, found = _count(settings, options, timeout_s, shown=False)
        if code is not Exit.OK or found is None or not (found.missing or found.differing):
            say("nothing is missing") if code is Exit.OK else None
            return code
        confirm(_question(found), yes=False)
    else:
        confirm(f"put missing points back into {into or collection}", yes=yes)
    options = replace(options, points_per_s=points_per_s)
    job = _job("", timeout_s)
    job.start = lambda client: client.start_undelete(request_id, options, plan_digest)
    job.wait, job.request_id = wait, request_id
    return _with_absent(run_job(settings, job), job.last)


@undelete.command("list")
@limit_option
@click.pass_context
def list_(context: click.Context, /, limit: int) -> None:
    """List undeletes, newest first."""
    settings = settings_of(context)
    list_operations(settings, "undelete", limit, lambda client: client.list_undeletes(limit))


@undelete.command()
@_id
@click.pass_context
def show(context: click.Context, /, undelete_id: str) -> None:
    """Show an undelete."""
    settings = settings_of(context)
    show_operation(
        settings, "undelete", undelete_id, lambda client: client.get_undelete(undelete_id)
    )


@undelete.command()
@_id
@timeout_option
@click.pass_context
def watch(context: click.Context, /, undelete_id: str, timeout_s: float) -> Exit:
    """Wait until an undelete ends."""
    job = _job(undelete_id, timeout_s)
    return _with_absent(run_job(settings_of(context), job), job.last)


@undelete.command()
@_id
@yes_option
@click.pass_context
def cancel(context: click.Context, /, undelete_id: str, yes: bool) -> Exit:
    """End an undelete between two batches; points that are back stay."""
    settings = settings_of(context)
    confirm(f"end undelete {undelete_id}; what is back stays", yes=yes)
    asked = ask(settings, lambda client: client.cancel_undelete(undelete_id))
    return conclude_cancel(settings, "undelete", asked, f"undelete watch {undelete_id}")


def _options(
    of: tuple[str, str],
    selected: tuple[tuple[str, ...], str | None, tuple[str, ...]],
    into: str,
    overwrite: bool,
) -> UndeleteOptions:
    """`of`: backup and collection. Raises: Invalid."""
    from cleancut.api.undeletes import UndeleteOptions
    from cleancut.core.points.selection import parse_filter, parse_ids

    ids, filter_, shard_keys = selected
    found = parse_ids([text_of(one, "--ids") for one in ids])
    condition = "" if filter_ is None else text_of(filter_, "--filter")
    if filter_ is not None:
        parse_filter(condition)  # an empty one is none: it would select all points
    return UndeleteOptions(
        backup_id=of[0],
        collection=of[1],
        ids=tuple(map(str, found or ())),
        filter=condition,
        shard_keys=shard_keys,
        into=into,
        overwrite=overwrite,
    )


def _job(name: str, timeout_s: float) -> Job[Undelete]:
    return Job(
        "undelete",
        start=lambda client: client.get_undelete(name),
        watch=lambda client, known: client.watch_undelete(known),
        timeout_s=timeout_s,
    )


def _count(
    settings: Settings, options: UndeleteOptions, timeout_s: float, *, shown: bool = True
) -> tuple[Exit, Undelete | None]:
    """What is missing, counted by an operation of its own."""
    from msgspec.structs import replace

    counting = replace(options, count_only=True)
    job = _job("", timeout_s)
    job.start = lambda client: client.start_undelete("", counting)
    job.shown = shown
    return run_job(settings, job), job.last


def _plan(settings: Settings, options: UndeleteOptions) -> UndeletePlan:
    return ask(settings, lambda client: client.plan_undelete(options))


def _refusal(made: UndeletePlan) -> Refused:
    return Refused(
        f"points of {made.collection!r} cannot be put back now: {'; '.join(made.blockers)}",
        "remove the blockers first",
    )


def _question(found: Undelete) -> str:
    replaced = f" and replace {found.differing:,}" if found.differing else ""
    return f"put {found.missing:,} points back into {found.into}{replaced}"


def _with_absent(code: Exit, last: Undelete | None) -> Exit:
    return Exit.FAILED if code is Exit.OK and last is not None and last.absent else code
