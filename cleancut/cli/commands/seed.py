"""`cleancut backup seed`: stores data ahead of a first backup, a few shards at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cleancut.cli.exit_codes import Exit
from cleancut.cli.options import collections_option, request_id_option, wait_options
from cleancut.cli.settings import Verb, settings_of
from cleancut.cli.wait import Job, run_job
from cleancut.core.protocol.bounds import MAX_ATTEMPTS, MAX_STREAMS, SEED_STREAMS

if TYPE_CHECKING:
    from cleancut.api.backups import Backup


@click.command(cls=Verb)
@collections_option
@click.option(
    "--streams",
    type=click.IntRange(1, MAX_STREAMS),
    default=SEED_STREAMS,
    show_default=True,
    help="How many shards each agent reads at a time.",
)
@click.option(
    "--attempts",
    type=click.IntRange(1, MAX_ATTEMPTS),
    help="How many attempts to make. Default: 3.",
)
@wait_options
@request_id_option
@click.pass_context
def seed(
    context: click.Context,
    /,
    collections: tuple[str, ...],
    streams: int,
    attempts: int | None,
    wait: bool,
    timeout_s: float,
    request_id: str,
) -> Exit:
    """Store the data of a first backup ahead of it, a few shards at a time.

    Makes no backup: the next `backup create` stores only the changes since, and keeps Qdrant's
    shards busy only that long. After an interruption, run it again: stored data counts.
    """
    from cleancut.core.protocol.requests import SeedRequest

    request = SeedRequest(
        collections=collections, streams=streams, attempts=attempts or SeedRequest().attempts
    )
    job: Job[Backup] = Job(
        "backup",
        start=lambda client: client.seed_backup(request, request_id),
        watch=lambda client, name: client.watch_backup(name),
        wait=wait,
        timeout_s=timeout_s,
        request_id=request_id,
    )
    return run_job(settings_of(context), job)
