"""`cleancut backup create`: what is backed up, how, and what the backup is called and kept for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cleancut.cli.exit_codes import Exit, report_error
from cleancut.cli.options import (
    collections_option,
    completed,
    request_id_option,
    wait_options,
)
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Verb, parse_duration, parse_term, settings_of
from cleancut.cli.wait import Job, ask, run_job
from cleancut.core.primitives.errors import Refused
from cleancut.core.protocol.bounds import MAX_ATTEMPTS

if TYPE_CHECKING:
    from cleancut.api.backups import Backup, BackupPlan
    from cleancut.core.protocol.requests import BackupRequest


@click.command(cls=Verb)
@collections_option
@click.option(
    "--exclude",
    multiple=True,
    metavar="NAME",
    help="Leave this collection out; repeatable.",
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Leave out the collections that cannot be backed up now: the backup is partial and lists"
    " them. Default: fail and name them.",
)
@click.option("--allow-empty", is_flag=True, help="Accept a cluster without collections.")
@click.option(
    "--require",
    type=click.Choice(["point-in-time"]),
    help="point-in-time: fail rather than keep a backup that is not proven to be of one instant.",
)
@click.option(
    "--attempts",
    type=click.IntRange(1, MAX_ATTEMPTS),
    help="How many attempts to make. Default: 3.",
)
@click.option(
    "--fence",
    multiple=True,
    metavar="alias=NAME|hook|none",
    help="Hold writes off for as long as the backup needs it: rename the alias that writers use, or"
    " call the configured hooks; repeatable. Default: the coordinator's settings.",
)
@click.option(
    "--fence-budget",
    "fence_budget_s",
    type=parse_duration,
    metavar="DURATION",
    default=0.0,
    show_default="2s",
    help="How long writes may be held off before the attempt is aborted; at most 30s.",
)
@click.option(
    "--full",
    is_flag=True,
    help="Store all data again, whatever earlier backups hold: for a store that is not trusted.",
)
@click.option(
    "--audit",
    is_flag=True,
    help="Have Qdrant stream shards that are captured from the disk as well, and compare both.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completed("label_keys"),
    help="Label it, for people and for `backup list --label`; repeatable.",
)
@click.option(
    "--keep",
    "keep_s",
    type=parse_term,
    metavar="DURATION",
    default=None,
    show_default="as the retention rules say",
    help="Keep it for this long, no matter what retention rules say; then it expires.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only show which agent would cut which shard, and what prevents the backup; start nothing."
    " Exit code 4: it would be refused, or fail.",
)
@wait_options
@request_id_option
@click.pass_context
def create(
    context: click.Context,
    /,
    *,
    dry_run: bool,
    wait: bool,
    timeout_s: float,
    request_id: str,
    **given: Any,
) -> Exit:
    """Back up the whole cluster, or some collections, as one backup."""
    request, settings = _request_of(**given), settings_of(context)
    if dry_run:
        plan = ask(settings, lambda client: client.plan_backup(request))
        emit(settings.output, "plan", plan)
        return report_error(_refusal(plan)) if plan.blockers else Exit.OK
    job: Job[Backup] = Job(
        "backup",
        start=lambda client: client.create_backup(request, request_id),
        watch=lambda client, name: client.watch_backup(name),
        wait=wait,
        timeout_s=timeout_s,
        request_id=request_id,
    )
    return run_job(settings, job)


def _refusal(plan: BackupPlan) -> Refused:
    return Refused(
        f"a backup would not succeed now: {'; '.join(plan.blockers)}", "remove the blockers first"
    )


def _request_of(
    *,
    collections: tuple[str, ...],
    exclude: tuple[str, ...],
    require: str | None,
    attempts: int | None,
    fence: tuple[str, ...],
    labels: tuple[str, ...],
    keep_s: float | None,
    **others: Any,
) -> BackupRequest:
    """Raises: Invalid. `others`: flags that are fields of the request."""
    from cleancut.core.primitives.labels import parse_labels
    from cleancut.core.protocol.fence import check_fence
    from cleancut.core.protocol.requests import BackupRequest

    request = BackupRequest(
        collections=collections,
        require_point_in_time=require == "point-in-time",
        attempts=attempts or BackupRequest().attempts,
        fence=tuple(sorted(set(fence))),
        exclude=tuple(sorted(set(exclude))),
        labels=parse_labels(labels),
        keep_s=keep_s or 0.0,
        **others,
    )
    check_fence(request)
    return request
