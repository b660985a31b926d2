"""`cleancut backup seed`: stores ahead of a backup, a few shards at a time."""

from __future__ import annotations

import click

from cleancut.api.backups import Backup
from cleancut.cli.exit_codes import Exit
from cleancut.cli.options import collections_option, request_id_option, wait_options
from cleancut.cli.settings import Verb, settings_of
from cleancut.cli.wait import Job, run_job
from cleancut.core.protocol.requests import MAX_ATTEMPTS, MAX_STREAMS, SeedRequest


@click.command(cls=Verb)
@collections_option
@click.option(
    "--streams",
    type=click.IntRange(1, MAX_STREAMS),
    default=SeedRequest().streams,
    show_default=True,
    help="How many shards each agent reads at a time.",
)
@click.option(
    "--attempts",
    type=click.IntRange(1, MAX_ATTEMPTS),
    help="How many epochs may be tried. Default: 3.",
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
    """Store what a first backup would have to, a few shards at a time.

    Makes no backup: the next `backup create` stores what has changed since, and holds Qdrant's
    shards for that long only. Run it again after an interruption: what is stored counts.
    """
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
