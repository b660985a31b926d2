"""`cleancut schedule`: schedules of the coordinators' settings file, and those defined here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cleancut.cli.exit_codes import Exit
from cleancut.cli.options import (
    collections_option,
    completed,
    confirm,
    request_id_option,
    wait_options,
    yes_option,
)
from cleancut.cli.render.output import TABLES, emit, emit_many
from cleancut.cli.settings import Noun, parse_duration, settings_of
from cleancut.cli.terminal import write_out
from cleancut.cli.wait import Job, ask, run_job
from cleancut.core.primitives.errors import NotFound
from cleancut.core.primitives.visible import visible

if TYPE_CHECKING:
    from cleancut.api.backups import Backup
    from cleancut.api.schedules import Schedule
    from cleancut.cli.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
_name = click.argument("name", metavar="NAME", shell_complete=completed("schedules"))


@click.group(cls=Noun, name="schedule")
def schedule() -> None:
    """Show, define, trigger, pause and resume schedules."""


@schedule.command("list")
@click.pass_context
def list_(context: click.Context, /) -> None:
    """List schedules with their next time and their last backup."""
    settings = settings_of(context)
    found = ask(settings, lambda client: client.list_schedules())
    emit_many(settings.output, "schedules", found.schedules)


@schedule.command()
@_name
@click.pass_context
def show(context: click.Context, /, name: str) -> None:
    """Show one schedule, how it is defined and how far it is."""
    settings = settings_of(context)
    found = _find(settings, name)
    if found is None:
        raise NotFound(f"there is no schedule {name!r}", "see `cleancut schedule list`")
    emit(settings.output, "schedule", found)


@schedule.command()
@_name
@wait_options
@request_id_option
@click.pass_context
def trigger(
    context: click.Context, /, name: str, wait: bool, timeout_s: float, request_id: str
) -> Exit:
    """Start a schedule's backup now, paused or not."""
    job: Job[Backup] = Job(
        "backup",
        start=lambda client: client.trigger_schedule(name, request_id),
        watch=lambda client, backup: client.watch_backup(backup),
        wait=wait,
        timeout_s=timeout_s,
        request_id=request_id,
    )
    return run_job(settings_of(context), job)


@schedule.command()
@_name
@click.pass_context
def pause(context: click.Context, /, name: str) -> None:
    """Skip a schedule's times until it is resumed."""
    settings = settings_of(context)
    emit(settings.output, "schedule", ask(settings, lambda client: client.pause_schedule(name)))


@schedule.command()
@_name
@click.pass_context
def resume(context: click.Context, /, name: str) -> None:
    """Resume a schedule from now on."""
    settings = settings_of(context)
    emit(settings.output, "schedule", ask(settings, lambda client: client.resume_schedule(name)))


_KEEPS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def _duration(flag: str, name: str, text: str) -> Callable[[F], F]:
    return click.option(
        flag,
        name,
        type=parse_duration,
        default="0",
        show_default=False,
        metavar="DURATION",
        help=text,
    )


def _many(flag: str, name: str, text: str, kind: str = "") -> Callable[[F], F]:
    complete = completed(kind) if kind else None
    return click.option(
        flag, name, multiple=True, metavar="NAME", shell_complete=complete, help=text
    )


def _definition(function: F) -> F:
    """The keys of `[schedule.NAME]` as flags."""
    options = [
        click.option("--cron", required=True, metavar="CRON", help='Times, as in "30 2 * * *".'),
        click.option(
            "--do",
            type=click.Choice(["backup", "verify", "drill", "copy"]),
            default="backup",
            show_default=True,
            help="What starts then.",
        ),
        click.option("--time-zone", default="UTC", show_default=True, help="Of the times."),
        _duration("--jitter", "jitter_s", "Longest delay of a start."),
        _duration("--start-within", "start_within_s", "Skip a start that is later than this."),
        _duration("--max-age", "max_age_s", "How old its newest result may be."),
        click.option(
            "--overlap",
            type=click.Choice(["skip", "queue"]),
            default="skip",
            show_default=True,
            help="While the one before is running.",
        ),
        collections_option,
        _many("--exclude", "exclude", "Not this collection; repeatable.", "collections"),
        click.option("--allow-missing", is_flag=True, help="As of `backup create`."),
        click.option("--allow-empty", is_flag=True, help="As of `backup create`."),
        click.option(
            "--require-point-in-time", is_flag=True, help="Fail rather than keep another backup."
        ),
        click.option("--attempts", type=int, default=0, show_default="5", help="At most."),
        click.option(
            "--fence", multiple=True, metavar="FENCE", help="As of `backup create`; repeatable."
        ),
        _duration("--fence-budget", "fence_budget_s", "How long writes may be held off."),
        click.option(
            "--label",
            "labels",
            multiple=True,
            metavar="KEY=VALUE",
            help="Of its backups; repeatable.",
        ),
        click.option("--percent", type=int, default=0, help="Share of the data that is read."),
        click.option("--shards", type=int, default=0, help="Shards of a drill. Default: all."),
        click.option("--to", default="", metavar="STORE", help="The store that a copy goes to."),
        *(
            click.option(
                f"--keep-{name}", type=int, default=0, metavar="N", help="Retention of its backups."
            )
            for name in _KEEPS
        ),
        click.option("--max-age-days", type=float, default=0.0, metavar="N", help="As above."),
        click.option("--min-count", type=int, default=0, metavar="N", help="As above."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@schedule.command("set")
@_name
@_definition
@click.pass_context
def set_(context: click.Context, /, name: str, **flags: Any) -> None:
    """Define a schedule outside the settings file, or replace one.

    The flags are the keys of `[schedule.NAME]` there. What is not given has its default, also where
    the schedule had something else. Backups follow the general retention unless it is given here.
    """
    from cleancut.api.schedules import RetentionRules, Schedule
    from cleancut.core.primitives.labels import parse_labels

    settings = settings_of(context)
    rules = {key: flags.pop(key) for key in RetentionRules.__struct_fields__}
    before = _find(settings, name)
    wanted = Schedule(
        name=name,
        **{**flags, "labels": parse_labels(flags["labels"])},
        retention=RetentionRules(**rules) if any(rules.values()) else None,
        revision=before.revision if before else 0,
    )
    emit(settings.output, "schedule", ask(settings, lambda client: client.put_schedule(wanted)))


@schedule.command()
@_name
@yes_option
@click.pass_context
def delete(context: click.Context, /, name: str, yes: bool) -> None:
    """Delete a schedule that is not in the settings file; its backups stay.

    What it has started goes on. Retention keeps backups of a schedule that does not exist.
    """
    settings = settings_of(context)
    found = _find(settings, name)
    if found is not None:
        owner = f", which {found.owner} defines" if found.owner else ""
        confirm(f"delete schedule {name}{owner}", yes=yes)
    revision = found.revision if found else 0
    ask(settings, lambda client: client.delete_schedule(name, revision))
    if found is None:
        return
    if settings.output in TABLES:
        write_out(f"{visible(f'schedule {name} is deleted; its backups stay')}\n")
    else:
        emit(settings.output, "schedule", found)


def _find(settings: Settings, name: str) -> Schedule | None:
    listed = ask(settings, lambda client: client.list_schedules())
    return next((one for one in listed.schedules if one.name == name), None)
