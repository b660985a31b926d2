"""`cleancut restore`: plans, starts and follows restores; each is whole or undone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleancut.cli.commands.data.offline_restore import OfflineStart
from cleancut.cli.commands.data.options import jobs_option, scratch_option
from cleancut.cli.commands.operations import list_operations, show_operation
from cleancut.cli.commands.rebalance import follow_after
from cleancut.cli.commands.reshard import follow_reshard
from cleancut.cli.commands.restore_options import options_of, what_options
from cleancut.cli.exit_codes import Exit, report_error, say
from cleancut.cli.options import (
    backup_argument,
    completed,
    confirm,
    limit_option,
    request_id_option,
    timeout_option,
    wait_options,
    yes_option,
)
from cleancut.cli.render.output import emit
from cleancut.cli.settings import Noun, Settings, settings_of
from cleancut.cli.terminal import answers
from cleancut.cli.wait import Job, ask, conclude_cancel, run_job
from cleancut.core.primitives.errors import CleancutError, Refused
from cleancut.core.primitives.ids import OperationId
from cleancut.core.protocol.states import State

if TYPE_CHECKING:
    from cleancut.api.restores import Restore, RestoreOptions, RestorePlan


@click.group(cls=Noun, name="restore")
def restore() -> None:
    """Restore backups."""


@restore.command()
@backup_argument
@what_options
@click.option("--deep", is_flag=True, help="Also read all data that would be restored.")
@click.pass_context
def plan(context: click.Context, /, backup_id: str, *, deep: bool, **what: Any) -> Exit:
    """Show what a restore would do, without changes. Exit code 4: it would be refused."""
    settings = settings_of(context)
    options = options_of(what)
    if options.offline:
        made = _plan_offline(settings, backup_id, options)
    else:
        made = _plan(settings, backup_id, options, deep=deep)
    emit(settings.output, "plan", made)
    return report_error(_refusal(made)) if made.blockers else Exit.OK


@restore.command()
@backup_argument
@what_options
@click.option(
    "--confirm",
    metavar="NAME",
    default="",
    help="With --overwrite: the name of the collection that is deleted, once more; --yes alone does"
    " not suffice.",
)
@click.option("--rebalance", is_flag=True, help="Run `rebalance start` afterwards.")
@click.option(
    "--strict",
    is_flag=True,
    help="Undo the restore if a sample query answers otherwise than in the backup. Default: a"
    " warning with both answers.",
)
@click.option(
    "--accept-count",
    is_flag=True,
    help="Accept a shard that holds more points than the backup says, with a warning: older backups"
    " may hold points that were deleted while Qdrant optimized the shard.",
)
@click.option(
    "--plan-digest",
    metavar="DIGEST",
    default="",
    help="Refuse the restore if its plan has changed since.",
)
@yes_option
@wait_options
@request_id_option
@jobs_option
@scratch_option
@click.pass_context
def start(
    context: click.Context,
    /,
    backup_id: str,
    *,
    plan_digest: str,
    yes: bool,
    wait: bool,
    timeout_s: float,
    request_id: str,
    jobs: int,
    scratch: Path | None,
    **what: Any,
) -> Exit:
    """Restore a backup, or some collections of it."""
    from msgspec.structs import replace
    from rich.console import Console

    from cleancut.cli.render.grids import print_table
    from cleancut.cli.render.restore_tables import plan as plan_table

    settings, options = settings_of(context), options_of(what)
    if options.offline:
        return _start_offline(
            OfflineStart(settings, backup_id, options, jobs, scratch, timeout_s, request_id),
            plan_digest,
            wait=wait,
            yes=yes,
        )
    if not yes and answers():
        made = _plan(settings, backup_id, options)
        plan_digest = plan_digest or made.digest
        print_table(Console(stderr=True), plan_table(made))
        if made.blockers:
            return report_error(_refusal(made))
    if options.overwrite and not options.confirm and answers():
        options = replace(options, confirm=_typed_name(options.collections[0]))
    confirm(f"restore backup {backup_id}", yes=yes or bool(options.confirm))
    job: Job[Restore] = Job(
        "restore",
        start=lambda client: client.start_restore(backup_id, request_id, options, plan_digest),
        watch=lambda client, name: client.watch_restore(name),
        wait=wait,
        timeout_s=timeout_s,
        request_id=request_id,
    )
    code = run_job(settings, job)
    if code is not Exit.OK or not wait or job.last is None:
        return code
    return _follow(settings, job.last, timeout_s)


def _typed_name(name: str) -> str:
    """What the user types to have this collection deleted."""
    question = f"{name!r} is deleted once the restored data is verified; type its name"
    return str(click.prompt(question, err=True, default="", show_default=False))


def _start_offline(asked: OfflineStart, plan_digest: str, *, wait: bool, yes: bool) -> Exit:
    """Raises: as `OfflineStart.run`."""
    from rich.console import Console

    from cleancut.cli.render.grids import print_table
    from cleancut.cli.render.restore_tables import plan as plan_table

    if not wait:
        raise click.UsageError("--offline removes what it built once the restore is over: it waits")
    made = _plan_offline(asked.settings, asked.backup, asked.options)
    if made.blockers:
        return report_error(_refusal(made))
    if plan_digest and plan_digest != made.digest:
        raise Refused("the plan has changed", "look at `cleancut restore plan` again")
    if not yes and answers():
        print_table(Console(stderr=True), plan_table(made))
    confirm(f"build shards from backup {asked.backup}, and restore them", yes=yes)
    return asked.run()


def _plan_offline(settings: Settings, backup_id: str, options: RestoreOptions) -> RestorePlan:
    """The coordinator's plan, with what is missing here."""
    from msgspec.structs import replace

    settings.needs_both = True
    store = "store" in settings.flags
    settings.flags.discard("store")
    made = _plan(settings, backup_id, options)
    settings.flags |= {"store"} if store else set()
    from cleancut.cli.offline import store_and_cluster
    from cleancut.engine.shard import check_engine

    missing = []
    for check in (check_engine, partial(store_and_cluster, settings)):
        try:
            check()
        except CleancutError as error:
            missing.append(f"{error.message}: {error.hint}")
    return replace(made, blockers=(*made.blockers, *missing))


def _follow(settings: Settings, done: Restore, timeout_s: float) -> Exit:
    """Waits for what follows a restore, all of it; the first exit code that is not OK counts."""
    codes = [follow_reshard(settings, name, timeout_s) for name in done.reshard_ids]
    if done.rebalance_id:
        codes.append(follow_after(settings, done.rebalance_id, timeout_s))
    if any(code is not Exit.OK for code in codes):
        for warning in ask(settings, lambda client: client.get_restore(done.id)).warnings:
            say(f"warning: {warning}")
    return next((code for code in codes if code is not Exit.OK), Exit.OK)


@restore.command("list")
@limit_option
@click.pass_context
def list_(context: click.Context, /, limit: int) -> None:
    """List restores, newest first."""
    settings = settings_of(context)
    list_operations(settings, "restore", limit, lambda client: client.list_restores(limit))


@restore.command()
@click.argument("restore_id", metavar="ID", shell_complete=completed("restores"))
@click.pass_context
def show(context: click.Context, /, restore_id: str) -> None:
    """Show a restore."""
    settings = settings_of(context)
    show_operation(settings, "restore", restore_id, lambda client: client.get_restore(restore_id))


@restore.command()
@click.argument("restore_id", metavar="ID", shell_complete=completed("restores"))
@timeout_option
@click.pass_context
def watch(context: click.Context, /, restore_id: str, timeout_s: float) -> Exit:
    """Wait until a restore ends."""
    job: Job[Restore] = Job(
        "restore",
        start=lambda client: client.get_restore(restore_id),
        watch=lambda client, name: client.watch_restore(name),
        timeout_s=timeout_s,
    )
    return run_job(settings_of(context), job)


@restore.command()
@click.argument("restore_id", metavar="ID", shell_complete=completed("restores"))
@yes_option
@click.pass_context
def cancel(context: click.Context, /, restore_id: str, yes: bool) -> Exit:
    """Cancel an unfinished restore and drop the collections that it created."""
    settings = settings_of(context)
    confirm(f"roll restore {restore_id} back and drop what it created", yes=yes)
    asked = ask(settings, lambda client: client.cancel_restore(restore_id))
    return conclude_cancel(settings, "restore", asked, f"restore watch {restore_id}")


@restore.command()
@click.argument("restore_id", metavar="ID", shell_complete=completed("restores"))
@yes_option
@click.pass_context
def clean(context: click.Context, /, restore_id: str, yes: bool) -> None:
    """Drop the old data that a restore with --replace kept."""
    settings = settings_of(context)
    known = ask(settings, lambda client: client.get_restore(restore_id))
    old = ", ".join(kept.collection for kept in known.kept)
    if old:
        say(f"clients that use {old} by name lose it; data that only it holds is lost for good")
        confirm(f"drop {old}, which restore {restore_id} replaced", yes=yes)
    cleaned = ask(settings, lambda client: client.clean_restore(restore_id))
    say(f"dropped {old}" if old else f"restore {restore_id} keeps no old data")
    emit(settings.output, "restore", cleaned)


@restore.command()
@click.argument("restore_id", metavar="ID", shell_complete=completed("restores"))
@yes_option
@click.pass_context
def finish(context: click.Context, /, restore_id: str, yes: bool) -> None:
    """End the hold on the backup of what a restore with --overwrite deleted."""
    settings = settings_of(context)
    known = ask(settings, lambda client: client.get_restore(restore_id))
    old = known.overwritten
    if old is None or known.state is not State.DONE:
        raise Refused(
            f"restore {restore_id} has overwritten nothing",
            "`cleancut restore clean` drops what one with --replace kept",
        )
    if old.held_until is None:
        say(f"backup {old.backup_id} is not held any more")
    else:
        what = f"backup {old.backup_epoch}, the old data of {old.collection}"
        confirm(f"end the hold on {what}", yes=yes)
        from cleancut.core.restore.overwrite import hold_reason

        reason = hold_reason(OperationId(known.id))
        ask(settings, lambda client: client.release_backup(old.backup_id, reason))
        say(f"backup {old.backup_epoch} is kept as long as retention says, like any other")
    emit(settings.output, "restore", ask(settings, lambda client: client.get_restore(restore_id)))


def _plan(
    settings: Settings, backup_id: str, options: RestoreOptions, *, deep: bool = False
) -> RestorePlan:
    return ask(settings, lambda client: client.plan_restore(backup_id, options, deep=deep))


def _refusal(made: RestorePlan) -> Refused:
    others = len(made.blockers) - 1
    more = f" (and {others} more)" if others else ""
    return Refused(
        f"backup #{made.backup_epoch} cannot be restored this way: {made.blockers[0]}{more}",
        "each blocker in the plan says what to do about it",
    )
