"""`cleancut schedule`: scheduled backups, as the coordinators' settings file defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cleancut.cli.exit_codes import Exit
from cleancut.cli.options import completed, request_id_option, wait_options
from cleancut.cli.render.output import emit, emit_many
from cleancut.cli.settings import Noun, settings_of
from cleancut.cli.wait import Job, ask, run_job

if TYPE_CHECKING:
    from cleancut.api.backups import Backup

_name = click.argument("name", metavar="NAME", shell_complete=completed("schedules"))


@click.group(cls=Noun, name="schedule")
def schedule() -> None:
    """Show, trigger, pause and resume schedules."""


@schedule.command("list")
@click.pass_context
def list_(context: click.Context, /) -> None:
    """List schedules with their next time and their last backup."""
    settings = settings_of(context)
    found = ask(settings, lambda client: client.list_schedules())
    emit_many(settings.output, "schedules", found.schedules)


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
