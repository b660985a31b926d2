"""`cleancut cluster rebalance`: spreads shards evenly, and restores missing replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cleancut.cli.exit_codes import Exit, report_error
from cleancut.cli.options import completed, confirm, request_id_option, wait_options, yes_option
from cleancut.cli.render.output import emit, emit_many
from cleancut.cli.settings import Settings, Verb, settings_of
from cleancut.cli.terminal import answers
from cleancut.cli.wait import Job, ask, conclude_cancel, run_job
from cleancut.core.primitives.errors import Refused

if TYPE_CHECKING:
    from cleancut.api.rebalances import Rebalance, RebalanceOptions, RebalancePlan

_LISTED = 50


@click.command(cls=Verb)
@click.option("--plan", is_flag=True, help="Only show the steps. Exit code 4: it would be refused.")
@click.option(
    "--max-moves",
    type=click.IntRange(1),
    metavar="N",
    help="Move at most N replicas. Default: no limit.",
)
@click.option(
    "--bandwidth-aware",
    is_flag=True,
    help="Start with one transfer per peer, and add more only while none slows down.",
)
@click.option(
    "--drop-surplus",
    is_flag=True,
    help="Drop replicas beyond the replication factor. Default: keep them.",
)
@click.option(
    "--plan-digest",
    metavar="DIGEST",
    default="",
    help="Refuse the rebalance if its plan has changed since.",
)
@click.option("--list", "list_", is_flag=True, help="List rebalances instead, newest first.")
@click.option(
    "--show", metavar="ID", shell_complete=completed("rebalances"), help="Show a rebalance instead."
)
@click.option(
    "--watch",
    metavar="ID",
    shell_complete=completed("rebalances"),
    help="Wait until a rebalance ends instead.",
)
@click.option(
    "--cancel",
    metavar="ID",
    shell_complete=completed("rebalances"),
    help="Abort a rebalance's transfers instead.",
)
@yes_option
@wait_options
@request_id_option
@click.pass_context
def rebalance(
    context: click.Context,
    /,
    *,
    plan: bool,
    max_moves: int | None,
    bandwidth_aware: bool,
    drop_surplus: bool,
    plan_digest: str,
    list_: bool,
    show: str | None,
    watch: str | None,
    cancel: str | None,
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
    if [bool(one) for one in (plan, list_, show, watch, cancel)].count(True) > 1:
        raise click.UsageError("--plan, --list, --show, --watch and --cancel exclude each other")
    if plan:
        return _show_plan(settings, options)
    if list_:
        return _list(settings)
    if show:
        return _show(settings, show)
    if watch:
        return run_job(settings, _job(watch, timeout_s))
    if cancel:
        return _cancel(settings, cancel, yes=yes)
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


def _list(settings: Settings) -> Exit:
    if settings.offline:
        from cleancut.cli.offline_history import list_ended

        found = list_ended(settings, "rebalance", _LISTED)
        emit_many(settings.output, "rebalances", found)
        return Exit.OK
    page = ask(settings, lambda client: client.list_rebalances())
    emit_many(settings.output, "rebalances", page.rebalances)
    return Exit.OK


def _show(settings: Settings, name: str) -> Exit:
    if settings.offline:
        from cleancut.cli.offline_history import show_ended

        found = show_ended(settings, "rebalance", name)
    else:
        found = ask(settings, lambda client: client.get_rebalance(name))
    emit(settings.output, "rebalance", found)
    return Exit.OK


def _show_plan(settings: Settings, options: RebalanceOptions) -> Exit:
    made = _plan(settings, options)
    emit(settings.output, "plan", made)
    return report_error(_refusal(made)) if made.blockers else Exit.OK


def _cancel(settings: Settings, name: str, *, yes: bool) -> Exit:
    confirm(f"abort the transfers of rebalance {name}", yes=yes)
    asked = ask(settings, lambda client: client.cancel_rebalance(name))
    return conclude_cancel(settings, "rebalance", asked, f"cluster rebalance --watch {name}")


def _plan(settings: Settings, options: RebalanceOptions) -> RebalancePlan:
    return ask(settings, lambda client: client.plan_rebalance(options))


def _refusal(made: RebalancePlan) -> Refused:
    return Refused(
        f"the cluster cannot be rebalanced now: {'; '.join(made.blockers)}",
        "remove the blockers first",
    )
