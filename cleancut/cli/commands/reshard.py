"""`cleancut reshard`: changes the number of shards of a collection while clients use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cleancut.cli.commands.operations import list_operations, show_operation
from cleancut.cli.exit_codes import Exit, report_error
from cleancut.cli.options import (
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
    from cleancut.api.reshards import Reshard, ReshardOptions, ReshardPlan


@click.group(cls=Noun, name="reshard")
def reshard() -> None:
    """Change the number of shards of a collection."""


_collection = click.argument(
    "collection", metavar="COLLECTION", shell_complete=completed("collections")
)
_shards = click.option(
    "--shards",
    type=click.IntRange(1),
    required=True,
    metavar="N",
    help="Number of shards that the collection is to have; of those under --shard-key.",
)
_shard_key = click.option(
    "--shard-key",
    metavar="KEY",
    help="Shard key whose shards are meant; required if the collection has shard keys.",
)


@reshard.command(cls=Verb)
@_collection
@_shards
@_shard_key
@click.pass_context
def plan(context: click.Context, /, *, collection: str, shards: int, shard_key: str | None) -> Exit:
    """Show the steps of a reshard, and what prevents it; change nothing.

    Exit code 4: it would be refused.
    """
    from cleancut.api.reshards import ReshardOptions

    settings = settings_of(context)
    made = _plan(
        settings, ReshardOptions(collection=collection, shards=shards, shard_key=shard_key)
    )
    emit(settings.output, "plan", made)
    return report_error(_refusal(made)) if made.blockers else Exit.OK


@reshard.command(cls=Verb)
@_collection
@_shards
@_shard_key
@click.option(
    "--plan-digest",
    metavar="DIGEST",
    default="",
    help="Refuse the reshard if its plan has changed since.",
)
@yes_option
@wait_options
@request_id_option
@click.pass_context
def start(
    context: click.Context,
    /,
    *,
    collection: str,
    shards: int,
    shard_key: str | None,
    plan_digest: str,
    yes: bool,
    wait: bool,
    timeout_s: float,
    request_id: str,
) -> Exit:
    """Change the number of shards of a collection, one at a time, while clients use it."""
    from rich.console import Console

    from cleancut.api.reshards import ReshardOptions
    from cleancut.cli.render.grids import print_table
    from cleancut.cli.render.reshard_tables import reshard_plan

    settings = settings_of(context)
    options = ReshardOptions(collection=collection, shards=shards, shard_key=shard_key)
    if not yes and answers():
        made = _plan(settings, options)
        plan_digest = plan_digest or made.digest
        print_table(Console(stderr=True), reshard_plan(made))
        if made.blockers:
            return report_error(_refusal(made))
    confirm(f"reshard {collection} to {shards} shards", yes=yes)
    job = _job("", timeout_s)
    job.start = lambda client: client.start_reshard(request_id, options, plan_digest)
    job.wait, job.request_id = wait, request_id
    return run_job(settings, job)


@reshard.command("list")
@limit_option
@click.pass_context
def list_(context: click.Context, /, limit: int) -> None:
    """List reshards, newest first."""
    settings = settings_of(context)
    list_operations(settings, "reshard", limit, lambda client: client.list_reshards(limit))


@reshard.command()
@click.argument("reshard_id", metavar="ID", shell_complete=completed("reshards"))
@click.pass_context
def show(context: click.Context, /, reshard_id: str) -> None:
    """Show a reshard."""
    settings = settings_of(context)
    show_operation(settings, "reshard", reshard_id, lambda client: client.get_reshard(reshard_id))


@reshard.command()
@click.argument("reshard_id", metavar="ID", shell_complete=completed("reshards"))
@timeout_option
@click.pass_context
def watch(context: click.Context, /, reshard_id: str, timeout_s: float) -> Exit:
    """Wait until a reshard ends."""
    return run_job(settings_of(context), _job(reshard_id, timeout_s))


@reshard.command()
@click.argument("reshard_id", metavar="ID", shell_complete=completed("reshards"))
@yes_option
@click.pass_context
def cancel(context: click.Context, /, reshard_id: str, yes: bool) -> Exit:
    """End a reshard; the collection stays whole at the number of shards that it has reached."""
    settings = settings_of(context)
    confirm(f"end reshard {reshard_id}, whose finished steps stay", yes=yes)
    asked = ask(settings, lambda client: client.cancel_reshard(reshard_id))
    return conclude_cancel(settings, "reshard", asked, f"reshard watch {reshard_id}")


def _job(name: str, timeout_s: float) -> Job[Reshard]:
    return Job(
        "reshard",
        start=lambda client: client.get_reshard(name),
        watch=lambda client, known: client.watch_reshard(known),
        timeout_s=timeout_s,
    )


def follow_reshard(settings: Settings, name: str, timeout_s: float) -> Exit:
    """Waits for a reshard that follows a restore."""
    job = _job(name, timeout_s)
    job.shown = False
    return run_job(settings, job)


def _plan(settings: Settings, options: ReshardOptions) -> ReshardPlan:
    return ask(settings, lambda client: client.plan_reshard(options))


def _refusal(made: ReshardPlan) -> Refused:
    return Refused(
        f"{made.collection!r} cannot be resharded now: {'; '.join(made.blockers)}",
        "remove the blockers first",
    )
