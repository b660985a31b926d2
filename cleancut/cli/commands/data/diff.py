"""`cleancut backup diff`: what differs between the points of two backups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleancut.cli.commands.data.options import (
    jobs_option,
    qdrant_of,
    qdrant_options,
    scratch_option,
)
from cleancut.cli.exit_codes import Exit, say
from cleancut.cli.options import backup_name, collections_option, completed
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Verb, settings_of

if TYPE_CHECKING:
    from cleancut.api.diffs import Diff
    from cleancut.core.format.paths import Paths
    from cleancut.ports.store import Store


@click.command("diff", cls=Verb)
@click.argument("before", callback=backup_name, shell_complete=completed("backups"))
@click.argument("after", required=False, default=None, shell_complete=completed("backups"))
@click.option("--live", is_flag=True, help="Compare with the live collections, instead of AFTER.")
@collections_option
@click.option("--ids", is_flag=True, help="List each point that differs.")
@click.option("--summary", is_flag=True, help="Only the sums over all collections.")
@click.option(
    "--exit-code", is_flag=True, help="Exit with 1 if they differ. Default: 0 either way."
)
@qdrant_options
@jobs_option
@scratch_option
@click.pass_context
def diff_(
    context: click.Context,
    /,
    before: str,
    after: str | None,
    live: bool,
    collections: tuple[str, ...],
    ids: bool,
    summary: bool,
    exit_code: bool,
    qdrant_url: str | None,
    key_file: Path | None,
    ca_file: Path | None,
    jobs: int,
    scratch: Path | None,
) -> Exit:
    """Compare the points of two backups, from the store alone (--store, --cluster).

    From BEFORE to AFTER: points added, removed, changed (vectors or payload) and unchanged. Needs
    `cleancut[data]`. Shards that did not change between the backups cost nothing. With --live, from
    BEFORE to what is live in the backup's collections; needs a Qdrant URL.
    """
    from cleancut.cli import offline
    from cleancut.data.requirements import check_extra

    if ids and summary:
        raise click.UsageError("--summary lists nothing: leave --ids out")
    if (after is None) != live:
        raise click.UsageError("give either AFTER or --live")
    server = qdrant_of(qdrant_url, key_file, ca_file) if live else None
    check_extra()
    from cleancut.data.diff import DiffRequest, diff, without_points
    from cleancut.data.live_diff import live_diff

    settings = settings_of(context)
    other = (after or "").removeprefix("#")
    request = DiffRequest(before, other, collections, ids, jobs, scratch)

    async def act(store: Store, paths: Paths) -> Diff:
        if server is None:
            return await diff(store, paths, request, notice=say)
        async with server as qdrant:
            return await live_diff(store, paths, qdrant, request, notice=say)

    found = offline.with_store(settings, act)
    emit(settings.output, "diff", without_points(found) if summary else found)
    return Exit.FAILED if exit_code and not found.equal else Exit.OK
