"""`cleancut backup undelete`: points of a backup that a live collection lacks are put back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleancut.cli.commands.data.options import (
    collection_option,
    jobs_option,
    qdrant_of,
    qdrant_options,
    scratch_option,
    selection_of,
    selection_options,
)
from cleancut.cli.exit_codes import Exit, say
from cleancut.cli.options import backup_argument, confirm, yes_option
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Verb, settings_of
from cleancut.cli.terminal import answers

if TYPE_CHECKING:
    from cleancut.api.undeletes import Undelete
    from cleancut.core.format.paths import Paths
    from cleancut.ports.store import Store


@click.command("undelete", cls=Verb)
@backup_argument
@collection_option
@selection_options
@click.option("--into", default="", metavar="NAME", help="Another live collection.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Also replace points that differ. Default: only what is missing; never replace a point.",
)
@click.option("--plan", is_flag=True, help="Only show what is missing; write nothing.")
@click.option(
    "--rate",
    "points_per_s",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    show_default="as fast as it goes",
    help="Points a second at most.",
)
@qdrant_options
@jobs_option
@scratch_option
@yes_option
@click.pass_context
def undelete_(
    context: click.Context,
    /,
    backup_id: str,
    collection: str,
    ids: tuple[str, ...],
    filter_: str | None,
    shard_keys: tuple[str, ...],
    into: str,
    overwrite: bool,
    plan: bool,
    points_per_s: int,
    qdrant_url: str | None,
    key_file: Path | None,
    ca_file: Path | None,
    jobs: int,
    scratch: Path | None,
    yes: bool,
) -> Exit:
    """Put points of a backup back into a live collection, without replacing any.

    Needs `cleancut[data]`, --store, --cluster, and a Qdrant URL. What is missing is shown first,
    and confirmed. The same command again continues a run that ended early. Exit code 1 if a point
    is still missing afterwards.
    """
    from cleancut.cli import offline
    from cleancut.data.requirements import check_extra

    server = qdrant_of(qdrant_url, key_file, ca_file)
    check_extra()
    from cleancut.data.undelete import Talk, UndeleteRequest, undelete

    settings = settings_of(context)
    request = UndeleteRequest(
        backup_id,
        collection,
        selection_of(ids, filter_, shard_keys),
        into=into,
        overwrite=overwrite,
        plan=plan,
        points_per_s=points_per_s,
        jobs=jobs,
        scratch=scratch,
    )
    if not (yes or plan or answers()):
        raise click.UsageError("confirm with --yes, since stdin is not a terminal, or use --plan")
    talk = Talk(say, lambda found: confirm(_question(found), yes=yes))

    async def act(store: Store, paths: Paths) -> Undelete:
        async with server as qdrant:
            return await undelete(store, paths, qdrant, request, talk=talk)

    found = offline.with_store(settings, act)
    emit(settings.output, "undelete", found)
    return Exit.FAILED if found.absent else Exit.OK


def _question(found: Undelete) -> str:
    replaced = f" and replace {found.differing:,}" if found.differing else ""
    return f"put {found.missing:,} points back into {found.into}{replaced}"
