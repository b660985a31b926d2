"""`cleancut backup`: creates, shows and verifies backups, by a coordinator or in a store alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleancut.cli.commands.backup_copy import copy
from cleancut.cli.commands.backup_create import create
from cleancut.cli.commands.backup_import import import_
from cleancut.cli.commands.backup_list import list_
from cleancut.cli.commands.backup_log import log
from cleancut.cli.commands.backup_repair import repair
from cleancut.cli.commands.check import check
from cleancut.cli.commands.data.diff import diff_
from cleancut.cli.commands.data.export import export_
from cleancut.cli.commands.data.query import query_
from cleancut.cli.commands.seed import seed
from cleancut.cli.exit_codes import Exit, proof_exit, say
from cleancut.cli.options import (
    backup_argument,
    collections_option,
    completed,
    confirm,
    timeout_option,
    yes_option,
)
from cleancut.cli.render.output import TABLES, emit
from cleancut.cli.settings import Noun, Settings, parse_duration, parse_term, settings_of
from cleancut.cli.terminal import write_out
from cleancut.cli.wait import Job, ask, conclude_cancel, run_job
from cleancut.core.primitives.errors import NotFound, from_reason
from cleancut.core.primitives.visible import visible
from cleancut.core.protocol.states import State

if TYPE_CHECKING:
    from cleancut.api.backups import Backup
    from cleancut.api.checks import Drill, Verdict
    from cleancut.client.client import Client
    from cleancut.core.format.paths import Paths
    from cleancut.ports.store import Store


@click.group(cls=Noun, name="backup")
def backup() -> None:
    """Create, show, verify and delete backups."""


@backup.command()
@backup_argument
@click.option("--evidence", is_flag=True, help="Show only the evidence of its consistency.")
@click.pass_context
def show(context: click.Context, /, backup_id: str, evidence: bool) -> None:
    """Show a backup with its evidence."""
    from cleancut.api.state_words import step_of, title_of
    from cleancut.cli import offline

    settings = settings_of(context)
    if settings.offline:
        found = offline.show_backup(settings, backup_id)
    else:
        found = ask(settings, lambda client: client.get_backup(backup_id))
    if found.state is State.CORRUPT and found.error is not None:
        raise from_reason(found.error.reason)(found.error.message, found.error.hint)
    if not evidence:
        emit(settings.output, "backup", found)
        return
    if found.evidence is None:
        raise NotFound(f"backup {title_of(found)} is {step_of(found)}: it has no evidence yet")
    emit(settings.output, "evidence", found.evidence)


@backup.command()
@backup_argument
@click.option("--quick", is_flag=True, help="Check that all objects are present; read no data.")
@click.option(
    "--read-data",
    "read_percent",
    type=click.IntRange(1, 100),
    metavar="PCT",
    help="Read only this share of its bytes, in whole shards, longest unread first. Default: 100.",
)
@click.option(
    "--unless-read-within",
    "within_s",
    type=parse_duration,
    metavar="DURATION",
    default=0.0,
    show_default="0s",
    help="Skip what the verification log records as read in this time, so that an interrupted"
    " run continues.",
)
@click.pass_context
def verify(
    context: click.Context,
    /,
    backup_id: str,
    quick: bool,
    read_percent: int | None,
    within_s: float,
) -> Exit:
    """Recompute a backup's consistency and read all of its data.

    The leader does it; with --store it is done here, from the store alone. Exit code 1 if the
    manifest contradicts itself or the documents that the agents stored, 9 if an object is missing
    or damaged. The result is recorded in the store's verification log: known damage ends only with
    a reading of the same data.
    """
    settings = settings_of(context)
    if quick and read_percent is not None:
        raise click.UsageError("--quick reads no data: leave --read-data out")
    if settings.offline:
        verdict = _verify_here(settings, backup_id, 0 if quick else read_percent or 100, within_s)
    else:
        percent = read_percent or 0
        verdict = ask(
            settings,
            lambda client: client.verify_backup(
                backup_id, quick=quick, read_percent=percent, within_s=within_s
            ),
        )
    emit(settings.output, "verify", verdict)
    return proof_exit(verdict.problems, verdict.missing)


def _verify_here(settings: Settings, backup_id: str, percent: int, within_s: float) -> Verdict:
    from cleancut.cli import offline
    from cleancut.cli.work_story import found_by_verify, with_story
    from cleancut.core.format.story import StoryKind
    from cleancut.verification.verify import ReadShare, verify_group

    share = ReadShare(percent, within_s)

    async def work(store: Store, paths: Paths) -> Verdict:
        return await with_story(
            store,
            paths,
            StoryKind.VERIFY,
            lambda: verify_group(store, paths, backup_id, share, notice=say),
            found_by=found_by_verify,
        )

    return offline.with_store(settings, work)


@backup.command()
@backup_argument
@collections_option
@click.option(
    "--shards", type=click.IntRange(1), metavar="N", help="Only N shards, at random. Default: all."
)
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where shards are unpacked. Default: the system's temporary directory.",
)
@click.pass_context
def drill(
    context: click.Context,
    /,
    backup_id: str,
    collections: tuple[str, ...],
    shards: int | None,
    scratch: Path | None,
) -> Exit:
    """Open shards of a backup without a server, and query them.

    The leader does it; with --store it is done here, from the store alone, which needs
    `cleancut[drill]`. Point counts, payload indexes and the answers to sample queries are compared,
    and the recall of the indexes is measured. Exit code 1 if a result differs, 9 if a shard cannot
    be assembled or opened. The result is recorded in the store's verification log.
    """
    settings = settings_of(context)
    if settings.offline:
        found = _drill_here(settings, backup_id, (shards or 0, collections, scratch))
    else:
        if scratch is not None:
            raise click.UsageError("--scratch is for a drill that is done here, with --store")
        found = ask(
            settings,
            lambda client: client.drill_backup(
                backup_id, collections=collections, shards=shards or 0
            ),
        )
    emit(settings.output, "drill", found)
    return proof_exit(found.problems, found.damaged)


def _drill_here(
    settings: Settings, backup_id: str, drilling: tuple[int, tuple[str, ...], Path | None]
) -> Drill:
    from cleancut.cli import offline
    from cleancut.cli.work_story import found_by_drill, with_story
    from cleancut.core.format.story import StoryKind
    from cleancut.verification.verify import Drilling, drill_group

    chosen = Drilling(*drilling)

    async def work(store: Store, paths: Paths) -> Drill:
        return await with_story(
            store,
            paths,
            StoryKind.DRILL,
            lambda: drill_group(store, paths, backup_id, chosen, notice=say),
            found_by=found_by_drill,
        )

    return offline.with_store(settings, work)


@backup.command()
@backup_argument
@timeout_option
@click.pass_context
def watch(context: click.Context, /, backup_id: str, timeout_s: float) -> Exit:
    """Wait until a backup ends; `latest` is the newest one that is under way, if there is one."""

    async def look(client: Client) -> Backup:
        return await client.get_backup(await _under_way(client, backup_id))

    job: Job[Backup] = Job(
        "backup",
        start=look,
        watch=lambda client, name: client.watch_backup(name),
        timeout_s=timeout_s,
    )
    return run_job(settings_of(context), job)


@backup.command()
@backup_argument
@click.pass_context
def cancel(context: click.Context, /, backup_id: str) -> Exit:
    """Cancel an unfinished backup, `latest` the newest of them; nothing of it becomes visible."""

    async def end(client: Client) -> Backup:
        return await client.cancel_backup(await _under_way(client, backup_id))

    settings = settings_of(context)
    asked = ask(settings, end)
    return conclude_cancel(settings, "backup", asked, f"backup watch {asked.id}")


async def _under_way(client: Client, backup_id: str) -> str:
    """For "latest" the newest backup that has not ended, if there is one: all else that is called
    so is committed."""
    from cleancut.api.operations import is_over

    newest = (await client.list_backups(1)).backups if backup_id == "latest" else ()
    return newest[0].id if newest and not is_over(newest[0]) else backup_id


@backup.command()
@backup_argument
@yes_option
@click.pass_context
def delete(context: click.Context, /, backup_id: str, yes: bool) -> None:
    """Delete a backup for good; a later gc run deletes the objects that only it needs."""
    settings = settings_of(context)
    confirm(f"delete backup {backup_id} for good", yes=yes)
    gone = ask(settings, lambda c: c.delete_backup(backup_id))
    answer(settings, gone, "is deleted")
    say("objects that only this backup needs are deleted by a later gc run")


def answer(settings: Settings, value: Backup, line: str) -> None:
    """What became of it in one line for people, the whole backup for programs."""
    from cleancut.api.state_words import title_of

    if settings.output in TABLES:
        write_out(f"{visible(f'backup {title_of(value)} {line}')}\n")
    else:
        emit(settings.output, "backup", value)


_reason = click.option(
    "--reason",
    required=True,
    metavar="TEXT",
    shell_complete=completed("reasons"),
    help="Why it is kept, such as a ticket; each reason is a hold of its own.",
)


@backup.command()
@backup_argument
@_reason
@click.option(
    "--for",
    "for_s",
    type=parse_term,
    metavar="DURATION",
    show_default="until it is released",
    help="How long.",
)
@click.pass_context
def hold(context: click.Context, /, backup_id: str, reason: str, for_s: float | None) -> None:
    """Keep a backup, whatever the retention rules, until it is released."""
    settings = settings_of(context)
    held = ask(settings, lambda c: c.hold_backup(backup_id, reason, for_s or 0.0))
    answer(settings, held, f"is held for {'; '.join(held.holds)}")


@backup.command()
@backup_argument
@_reason
@click.pass_context
def release(context: click.Context, /, backup_id: str, reason: str) -> None:
    """Release a hold, so that retention applies again."""
    settings = settings_of(context)
    free = ask(settings, lambda c: c.release_backup(backup_id, reason))
    rest = f"; still held for {'; '.join(free.holds)}" if free.holds else ""
    answer(settings, free, f"is not held for {reason} any more{rest}")


@backup.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be deleted.")
@yes_option
@click.pass_context
def gc(context: click.Context, /, dry_run: bool, yes: bool) -> None:
    """Delete backups that retention no longer keeps, and objects that no backup needs.

    The coordinator also does this on its own, every `gc-every` seconds. An object is deleted in two
    runs: the first one marks it for deletion, a later one deletes it if nothing needs it still.
    A run that would expire more than the coordinator's `max-expire-share` of the backups stops;
    the confirmation here, or --yes, lets it go on.
    """
    settings = settings_of(context)
    if not dry_run:
        confirm("delete what --dry-run shows", yes=yes)
    done = ask(settings, lambda c: c.collect_garbage(dry_run=dry_run, confirmed=not dry_run))
    for warning in done.warnings:
        say(f"warning: {warning}")
    emit(settings.output, "gc", done)


backup.add_command(create)
backup.add_command(list_)
backup.add_command(check)
backup.add_command(seed)
backup.add_command(log)
backup.add_command(export_)
backup.add_command(diff_)
backup.add_command(query_)
backup.add_command(copy)
backup.add_command(repair)
backup.add_command(import_)


@backup.command()
@backup_argument
@click.option(
    "--collection",
    "-c",
    required=True,
    help="The collection.",
    shell_complete=completed("collections"),
)
@click.option("--shard", type=click.IntRange(0), help="This shard's tar; its id.")
@click.option(
    "--as-snapshot",
    is_flag=True,
    help="All shards as one collection snapshot, which a single Qdrant recovers; see --peers.",
)
@click.option(
    "--peers",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="With --as-snapshot: N files, FILE-1 to FILE-N, one for each peer of a cluster.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new file.")
@click.pass_context
def extract(
    context: click.Context,
    /,
    backup_id: str,
    collection: str,
    shard: int | None,
    as_snapshot: bool,
    peers: int | None,
    out: Path,
) -> None:
    """Write one shard's tar, or a snapshot of a whole collection, to a file.

    From the store alone (--store, --cluster). With --peers, each file comes with the command that
    recovers it.
    """
    from cleancut.cli import offline

    if (shard is None) != as_snapshot:
        raise click.UsageError("give either --shard or --as-snapshot")
    settings = settings_of(context)
    if peers is not None and not as_snapshot:
        raise click.UsageError("--peers is for --as-snapshot")
    facts: dict[str, Any] | list[dict[str, Any]]
    if peers is not None:
        facts = offline.extract_for_peers(settings, backup_id, collection, out, peers=peers)
    elif shard is None:
        facts = offline.extract_snapshot(settings, backup_id, collection, out)
    else:
        selection = offline.ShardSelection(backup_id, collection, shard)
        facts = offline.extract(settings, selection, out)
    offline.emit_extracted(settings, facts)
