"""`cleancut backup copy`: backups to another store, without a coordinator or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cleancut.cli.exit_codes import Exit, say
from cleancut.cli.options import completed
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Settings, Verb, parse_size, settings_of
from cleancut.core.primitives.errors import Invalid

if TYPE_CHECKING:
    from cleancut.api.copies import Copy
    from cleancut.copying.run import CopyRequest
    from cleancut.store.key_source import KeySource


@click.command(cls=Verb)
@click.argument(
    "backup_id", metavar="[BACKUP]", required=False, shell_complete=completed("backups")
)
@click.option("--all", "every", is_flag=True, help="All backups; looks through copied ones too.")
@click.option("--new", is_flag=True, help="The backups that are not in the copy yet.")
@click.option("--to", "to_url", required=True, metavar="URL", help="The store to copy to.")
@click.option(
    "--to-key-file",
    type=click.Path(path_type=Path),
    help="Another key for the copy. Default: objects stay encrypted as they are.",
)
@click.option("--to-key-command", metavar="COMMAND", help="Command that prints that key.")
@click.option(
    "--upload-rate",
    "bytes_per_s",
    type=parse_size,
    metavar="SIZE",
    default="0",
    help="Bytes a second to copy; 0: no limit.",
)
@click.option(
    "--uploads", type=click.IntRange(1, 64), default=8, metavar="N", help="Concurrent objects."
)
@click.option("--quick", is_flag=True, help="Check afterwards only that all objects are there.")
@click.option(
    "--read-data",
    "read_percent",
    type=click.IntRange(1, 100),
    metavar="PCT",
    help="Read only this share of each copied backup back. Default: 100.",
)
@click.pass_context
def copy(
    context: click.Context,
    /,
    backup_id: str | None,
    every: bool,
    new: bool,
    to_url: str,
    to_key_file: Path | None,
    to_key_command: str | None,
    bytes_per_s: int,
    uploads: int,
    quick: bool,
    read_percent: int | None,
) -> Exit:
    """Copy backups from a store (--store) to another one, and verify them there.

    BACKUP is a number, an id or `latest`; or give --all or --new. Objects that are there already
    are skipped, so that the same command continues an interrupted copy. Every object is checked as
    it is read; a backup with a damaged one is not published. Holds and tombstones are not copied.
    Exit code 9 if a backup could not be copied, or the copy is not whole.
    """
    from cleancut.copying.run import CopyRequest
    from cleancut.copying.transfer import CopyLimits
    from cleancut.core.maintenance.copying import Scope
    from cleancut.store.key_source import KeySource

    settings = settings_of(context)
    if [bool(backup_id), every, new].count(True) != 1:
        raise click.UsageError("give a backup, --all or --new")
    if quick and read_percent is not None:
        raise click.UsageError("--quick reads no data: leave --read-data out")
    scope = Scope.ALL if every else Scope.NEW if new else Scope.ONE
    request = CopyRequest(
        backup=(backup_id or "").removeprefix("#"),
        scope=scope,
        read_percent=0 if quick else read_percent or 100,
        limits=CopyLimits(bytes_per_s, uploads),
    )
    own = KeySource(to_key_file, to_key_command, from_environment=False)
    done = run_copy(settings, to_url, own if to_key_file or to_key_command else None, request)
    for warning in done.warnings:
        say(f"warning: {warning}")
    for problem in done.problems:
        say(f"problem: {problem}")
    emit(settings.output, "copy", done)
    return Exit.CORRUPT if done.problems else Exit.OK


def run_copy(
    settings: Settings, to_url: str, own_key: KeySource | None, request: CopyRequest
) -> Copy:
    """Copies from the store of `settings`. `own_key`: of the copy; None: that of the source."""
    import asyncio

    from cleancut.cli.work_story import found_by_copy, with_story
    from cleancut.copying.run import CopyRun
    from cleancut.copying.sides import Sides, check_distinct, open_side
    from cleancut.core.format.paths import Paths
    from cleancut.core.format.story import StoryKind
    from cleancut.repository.clusters import find_cluster
    from cleancut.runtime.clock import SystemClock

    settings.check_one_target()
    if not settings.store:
        raise Invalid(
            "this command needs --store URL, the source", "see `cleancut backup copy --help`"
        )
    url, clock = settings.store, SystemClock()
    check_distinct(url, to_url)

    async def run() -> Copy:
        async with (
            open_side(url, clock, settings.key_source) as source,
            open_side(to_url, clock, own_key or settings.key_source) as target,
        ):
            cluster = await find_cluster(source.opened.store, settings.cluster or "", url)
            sides = Sides(source, target, Paths(cluster), same_key=own_key is None)
            paths = sides.paths
            work = CopyRun(sides, request, clock, say).run
            return await with_story(
                source.opened.store, paths, StoryKind.COPY, work, found_by=found_by_copy
            )

    return asyncio.run(run())
