"""`cleancut backup diff`: what differs between the points of two backups."""

from __future__ import annotations

from pathlib import Path

import click

from cleancut.cli import offline
from cleancut.cli.commands.data.options import jobs_option, scratch_option
from cleancut.cli.exit_codes import Exit, say
from cleancut.cli.options import backup_name, collections_option
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Verb, settings_of


@click.command("diff", cls=Verb)
@click.argument("before", callback=backup_name)
@click.argument("after", callback=backup_name)
@collections_option
@click.option("--ids", is_flag=True, help="List each point that differs.")
@click.option("--summary", is_flag=True, help="Only the sums over all collections.")
@click.option(
    "--exit-code", is_flag=True, help="Exit with 1 if they differ. Default: 0 either way."
)
@jobs_option
@scratch_option
@click.pass_context
def diff_(
    context: click.Context,
    /,
    before: str,
    after: str,
    collections: tuple[str, ...],
    ids: bool,
    summary: bool,
    exit_code: bool,
    jobs: int,
    scratch: Path | None,
) -> Exit:
    """Compare the points of two backups, from the store alone (--store, --cluster).

    From BEFORE to AFTER: points added, removed, changed (vectors or payload) and unchanged. Needs
    `cleancut[data]`. Shards that did not change between the backups cost nothing.
    """
    from cleancut.data.requirements import check_extra

    if ids and summary:
        raise click.UsageError("--summary lists nothing: leave --ids out")
    check_extra()
    from cleancut.data.diff import DiffRequest, diff, without_points

    settings = settings_of(context)
    request = DiffRequest(before, after, collections, ids, jobs, scratch)
    found = offline.with_store(
        settings, lambda store, paths: diff(store, paths, request, notice=say)
    )
    emit(settings.output, "diff", without_points(found) if summary else found)
    return Exit.FAILED if exit_code and not found.equal else Exit.OK
