"""`cleancut backup undelete`: points of a backup that a live collection lacks are put back."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cleancut.api.undeletes import Undelete
from cleancut.cli import offline
from cleancut.cli.commands.data.options import (
    collection_option,
    jobs_option,
    scratch_option,
    selection_of,
    selection_options,
)
from cleancut.cli.exit_codes import Exit, say
from cleancut.cli.options import backup_argument, confirm, yes_option
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Verb, settings_of
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Invalid
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
@click.option(
    "--qdrant-url",
    envvar="CLEANCUT_QDRANT_URL",
    show_envvar=True,
    metavar="URL",
    help="A Qdrant peer, or a load balancer of all.",
)
@click.option(
    "--qdrant-api-key-file",
    "key_file",
    type=click.Path(path_type=Path),
    help="File with an API key that may write to the collection.",
)
@click.option(
    "--qdrant-ca",
    "ca_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CA that signed Qdrant's certificate. Default: the system's.",
)
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
    from cleancut.data.requirements import check_extra

    if qdrant_url is None:
        raise click.UsageError("missing option --qdrant-url (or CLEANCUT_QDRANT_URL)")
    check_extra()
    from cleancut.data.undelete import Talk, UndeleteRequest, undelete
    from cleancut.qdrant.client import Qdrant
    from cleancut.qdrant.http import check_url

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
    if not (yes or plan or sys.stdin.isatty()):
        raise click.UsageError("confirm with --yes, since stdin is not a terminal, or use --plan")
    key = _key(check_url(qdrant_url), key_file)
    talk = Talk(say, lambda found: confirm(_question(found), yes=yes))

    async def act(store: Store, paths: Paths) -> Undelete:
        async with Qdrant(qdrant_url, key, ca_file) as qdrant:
            return await undelete(store, paths, qdrant, request, talk=talk)

    found = offline.with_store(settings, act)
    emit(settings.output, "undelete", found)
    return Exit.FAILED if found.absent else Exit.OK


def _question(found: Undelete) -> str:
    replaced = f" and replace {found.differing:,}" if found.differing else ""
    return f"put {found.missing:,} points back into {found.into}{replaced}"


def _key(url: str, file: Path | None) -> str | None:
    """Raises: Invalid, for a file that cannot be read, or a key in the clear."""
    if file is None:
        return None
    from cleancut.qdrant.http import check_key_line

    check_key_line(url)
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {file}: {error}", "see --qdrant-api-key-file") from error
