"""`cleancut rebalance`: spreads shards evenly, and restores missing replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cleancut.cli.commands.operations import show_operation
from cleancut.cli.exit_codes import Exit, report_error
from cleancut.cli.options import (
    completed,
    confirm,
    request_id_option,
    timeout_option,
    wait_options,
    yes_option,
)
from cleancut.cli.render.output import emit, emit_many
from cleancut.cli.settings import Noun, Settings, Verb, settings_of
from cleancut.cli.terminal import answers
from cleancut.cli.wait import Job, ask, conclude_cancel, run_job
from cleancut.core.primitives.errors import Refused

if TYPE_CHECKING:
    from cleancut.api.rebalances import Rebalance, RebalanceOptions, RebalancePlan

_Command = TypeVar("_Command", bound=Callable[..., Any])
_LISTED = 50


@click.group(cls=Noun, name="rebalance")
def rebalance() -> None:
    """Spread shards evenly over the peers, and restore replication factors."""


def _moves(function: _Command) -> _Command:
    """The options that decide the steps."""
    for option in (
        click.option(
            "--drop-surplus",
            is_flag=True,
            help="Drop replicas beyond the replication factor. Default: keep them.",
        ),
        click.option(
            "--bandwidth-aware",
            is_flag=True,
            help="Start with one transfer per peer, and add more only while none slows down.",
        ),
        click.option(
            "--max-moves",
            type=click.IntRange(1),
            metavar="N",
            help="Move at most N replicas. Default: no limit.",
        ),
    ):
        function = option(function)
    return function


@rebalance.command(cls=Verb)
@_moves
@click.pass_context
def plan(
    context: click.Context,
    /,
    *,
    max_moves: int | None,
    bandwidth_aware: bool,
    drop_surplus: bool,
) -> Exit:
    """Show the steps of a rebalance, and what prevents it; change nothing.

    Exit code 4: it would be refused.
    """
    from cleancut.api.rebalances import RebalanceOptions

    settings = settings_of(context)
    options = RebalanceOptions(
        max_moves=max_moves or 0, bandwidth_aware=bandwidth_aware, drop_surplus=drop_surplus
    )
    made = _plan(settings, options)
    emit(settings.output, "plan", made)
    return report_error(_refusal(made)) if made.blockers else Exit.OK


@rebalance.command(cls=Verb)
@_moves
@click.option(
    "--plan-digest",
    metavar="DIGEST",
    default="",
    help="Refuse the rebalance if its plan has changed since.",
)
@yes_option
@wait_options
@request_id_option
@click.pass_context
def start(
    context: click.Context,
    /,
    *,
    max_moves: int | None,
    bandwidth_aware: bool,
    drop_surplus: bool,
    plan_digest: str,
    yes: bool,
    wait: bool,
    timeout_s: float,
    request_id: str,
) -> Exit:
    """Spread shards evenly over the peers, and restore replication factors."""
    from rich.console import Console

    from cleancut.api.rebalances import RebalanceOptions
    from cleancut.cli.render.grids import print_table
    from cleancut.cli.render.rebalance_tables import rebalance_plan

    settings = settings_of(context)
    options = RebalanceOptions(
        max_moves=max_moves or 0, bandwidth_aware=bandwidth_aware, drop_surplus=drop_surplus
    )
    if not yes and answers():
        made = _plan(settings, options)
        plan_digest = plan_digest or made.digest
        print_table(Console(stderr=True), rebalance_plan(made))
        if made.blockers:
            return report_error(_refusal(made))
    confirm("rebalance the cluster", yes=yes)
    job = _job("", timeout_s)
    job.start = lambda client: client.start_rebalance(request_id, options, plan_digest)
    job.wait, job.request_id = wait, request_id
    return run_job(settings, job)


@rebalance.command("list")
@click.pass_context
def list_(context: click.Context, /) -> None:
    """List rebalances, newest first."""
    settings = settings_of(context)
    if settings.offline:
        from cleancut.cli.offline_history import list_ended

        emit_many(settings.output, "rebalances", list_ended(settings, "rebalance", _LISTED))
        return
    page = ask(settings, lambda client: client.list_rebalances())
    emit_many(settings.output, "rebalances", page.rebalances)


_id = click.argument("rebalance_id", metavar="ID", shell_complete=completed("rebalances"))


@rebalance.command()
@_id
@click.pass_context
def show(context: click.Context, /, rebalance_id: str) -> None:
    """Show a rebalance."""
    settings = settings_of(context)
    show_operation(
        settings, "rebalance", rebalance_id, lambda client: client.get_rebalance(rebalance_id)
    )


@rebalance.command()
@_id
@timeout_option
@click.pass_context
def watch(context: click.Context, /, rebalance_id: str, timeout_s: float) -> Exit:
    """Wait until a rebalance ends."""
    return run_job(settings_of(context), _job(rebalance_id, timeout_s))


@rebalance.command()
@_id
@yes_option
@click.pass_context
def cancel(context: click.Context, /, rebalance_id: str, yes: bool) -> Exit:
    """Abort a rebalance's transfers; replicas that have moved stay where they are."""
    settings = settings_of(context)
    confirm(f"abort the transfers of rebalance {rebalance_id}", yes=yes)
    asked = ask(settings, lambda client: client.cancel_rebalance(rebalance_id))
    return conclude_cancel(settings, "rebalance", asked, f"rebalance watch {rebalance_id}")


def _job(name: str, timeout_s: float) -> Job[Rebalance]:
    return Job(
        "rebalance",
        start=lambda client: client.get_rebalance(name),
        watch=lambda client, known: client.watch_rebalance(known),
        timeout_s=timeout_s,
    )


def follow_after(settings: Settings, name: str, timeout_s: float) -> Exit:
    """Waits for the rebalance that follows a restore."""
    job = _job(name, timeout_s)
    job.shown = False
    return run_job(settings, job)


def _plan(settings: Settings, options: RebalanceOptions) -> RebalancePlan:
    return ask(settings, lambda client: client.plan_rebalance(options))


def _refusal(made: RebalancePlan) -> Refused:
    return Refused(
        f"the cluster cannot be rebalanced now: {'; '.join(made.blockers)}",
        "remove the blockers first",
    )
