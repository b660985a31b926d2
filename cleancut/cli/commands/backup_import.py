"""`cleancut backup import`: snapshots that Qdrant has taken become a backup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleancut.cli.commands.data.options import collection_option
from cleancut.cli.exit_codes import Exit, say
from cleancut.cli.options import wait_options
from cleancut.cli.settings import Settings, Verb, settings_of
from cleancut.cli.wait import Job, ask, run_job
from cleancut.core.primitives.errors import Invalid, Refused
from cleancut.core.primitives.ids import check_collection_name

if TYPE_CHECKING:
    from cleancut.api.backups import Backup
    from cleancut.core.format.manifest import CollectionEntry
    from cleancut.core.format.paths import Paths
    from cleancut.core.protocol.requests import ImportRequest
    from cleancut.importing.upload import ImportPlan
    from cleancut.ports.store import Store


@click.command("import", cls=Verb)
@collection_option
@click.argument("files", nargs=-1, required=True, metavar="[SHARD=]FILE...")
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Its configuration: the answer of GET /collections/NAME. For snapshots of shards.",
)
@click.option(
    "--like",
    metavar="COLLECTION",
    help="Its configuration is that of this collection in the newest backup that holds it.",
)
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where data waits for a slow store. Default: the system's temporary directory.",
)
@wait_options
@click.pass_context
def import_(
    context: click.Context,
    /,
    collection: str,
    files: tuple[str, ...],
    config_file: Path | None,
    like: str | None,
    scratch: Path | None,
    wait: bool,
    timeout_s: float,
) -> Exit:
    """Make a backup of snapshots that Qdrant's own API has taken of a collection or its shards.

    FILE is a snapshot of the collection from each node, or of one shard; SHARD=FILE says of which,
    or which of several replicas is taken. All are read and checked before anything is written.
    Needs --store, and the coordinator, which gives the backup its number. It is restored like any
    other, counts as `imported`, and neither as the latest nor as recent.
    """
    from cleancut.cli import offline
    from cleancut.importing.upload import drop_mark, upload
    from cleancut.runtime.clock import SystemClock

    if config_file and like:
        raise click.UsageError("give either --config or --like")
    check_collection_name(collection)
    settings = settings_of(context)
    settings.needs_both = True
    if not settings.store:
        raise Invalid("this command needs --store URL", "give the store of the coordinator")
    cluster = ask(settings, lambda client: client.cluster_status()).cluster
    described = _described(collection, config_file) if config_file else None

    async def stored(store: Store, paths: Paths) -> ImportRequest:
        if paths.cluster != cluster:
            raise Invalid(
                f"the store is of cluster {paths.cluster!r}, the coordinator of {cluster!r}",
                "correct --store, --cluster or --coordinator",
            )
        given = described
        if like:
            given = await _like(store, paths, collection, like)
        plan = await _plan(collection, files, given)
        return await upload(store, paths, plan, clock=SystemClock(), scratch=scratch, notice=say)

    request = offline.with_store(settings, stored)
    code, over = _enter(settings, request, wait=wait, timeout_s=timeout_s)
    if over:
        offline.with_store(
            settings, lambda store, paths: drop_mark(store, paths, request.import_id)
        )
    return code


async def _plan(
    collection: str, files: tuple[str, ...], given: CollectionEntry | None
) -> ImportPlan:
    """Raises: Corrupt, Refused, with nothing written."""
    from cleancut.core.format.snapshot_choice import (
        check_alike,
        check_choice,
        choose,
        documented_entry,
        parse_source,
    )
    from cleancut.importing.upload import ImportPlan, read_files

    sources = [parse_source(one) for one in files]
    read = await read_files([one.file for one in sources])
    contents = {name: file.contents for name, file in read.items()}
    documented = documented_entry(collection, list(contents.values()))
    if given is not None:
        check_alike(given, documented)
    entry = given or documented
    if entry is None:
        raise Refused(
            "snapshots of shards do not hold the collection's configuration",
            "give it with --config or --like",
        )
    chosen = choose(sources, contents)
    check_choice(entry, chosen)
    return ImportPlan(entry, chosen, read)


def _described(collection: str, file: Path) -> CollectionEntry:
    import msgspec

    from cleancut.core.format.snapshot_choice import described_entry

    try:
        found: Any = msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise Invalid(f"--config: {file} cannot be read as JSON: {error}", "see --help") from error
    return described_entry(collection, found)


async def _like(store: Store, paths: Paths, collection: str, like: str) -> CollectionEntry:
    import msgspec

    from cleancut.repository.catalog import find_latest

    manifest = await find_latest(store, paths, [like])
    entry = manifest.collection(like)
    return msgspec.structs.replace(entry, name=collection, uuid="", aliases=())


def _enter(
    settings: Settings, request: ImportRequest, *, wait: bool, timeout_s: float
) -> tuple[Exit, bool]:
    """The exit code, and whether the operation is over."""
    from cleancut.api.operations import is_over

    job: Job[Backup] = Job(
        "backup",
        start=lambda client: client.import_backup(request, request.import_id),
        watch=lambda client, name: client.watch_backup(name),
        wait=wait,
        timeout_s=timeout_s,
        request_id=request.import_id,
    )
    code = run_job(settings, job)
    return code, job.last is not None and is_over(job.last)
