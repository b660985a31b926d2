"""Verbs that ask a coordinator: one question, or an operation and the wait for its end.

Ctrl-C stops the waiting and nothing else: operations are the coordinator's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cleancut.cli.exit_codes import (
    Exit,
    exit_of_operation,
    report_error,
    report_interrupted,
    report_parts,
    say,
)
from cleancut.cli.render.output import TABLES, emit
from cleancut.cli.settings import Settings
from cleancut.core.primitives.errors import CleancutError, Invalid, TimedOut
from cleancut.core.protocol.states import State

if TYPE_CHECKING:
    from cleancut.api.backups import Backup
    from cleancut.api.operations import Operation
    from cleancut.api.rebalances import Rebalance
    from cleancut.api.reshards import Reshard
    from cleancut.api.restores import Restore
    from cleancut.api.undeletes import Undelete
    from cleancut.client.client import Client

T = TypeVar("T")
Op = TypeVar("Op", "Backup", "Restore", "Rebalance", "Reshard", "Undelete")
WAIT_S = 24 * 3600.0
"""Default bound of waiting: that of an upload."""


def ask(settings: Settings, question: Callable[[Client], Awaitable[T]]) -> T:
    """The answer of the coordinators that `settings` name."""
    import asyncio

    async def run() -> T:
        async with settings.client() as client:
            await check_target(settings, client)
            return await question(client)

    return asyncio.run(run())


async def check_target(settings: Settings, client: Client) -> None:
    """Raises: Invalid, if flags or settings name another cluster than the coordinator's, before
    anything is asked of it; Unavailable, if it does not answer."""
    settings.check_asks_coordinator()
    expected = settings.expected_cluster
    if not expected:
        return
    found = (await client.cluster_status()).cluster
    if found != expected:
        raise Invalid(
            f"the coordinator at {settings.addresses[0]} is of cluster {found!r}, not of"
            f" {expected!r}; nothing was done",
            "correct --cluster (CLEANCUT_CLUSTER) or --coordinator (CLEANCUT_COORDINATOR)",
        )


@dataclass(slots=True)
class Job(Generic[Op]):
    """An operation to start or to look at, and how to follow it. `last`: as it was last seen.
    `shown`: it goes to stdout in the end, or as ndjson at each change. `unread`: the reader of that
    went before the end."""

    noun: str
    start: Callable[[Client], Coroutine[Any, Any, Op]]
    watch: Callable[[Client, str], AsyncGenerator[Op, None]]
    wait: bool = True
    timeout_s: float = WAIT_S
    request_id: str = ""
    shown: bool = True
    last: Op | None = field(default=None, init=False)
    unread: bool = field(default=False, init=False)


def run_job(settings: Settings, job: Job[Op]) -> Exit:
    """Starts the operation, waits for its end if `job.wait`, writes it to stdout."""
    import asyncio

    try:
        asyncio.run(_follow(settings, job))
    except KeyboardInterrupt:
        return _interrupted(job)
    assert job.last is not None
    if job.shown and not _streams(settings, job):
        _show(settings, job.noun, job.last, waited=job.wait)
    if job.unread:
        return Exit.TIMED_OUT
    return _conclude(job.noun, job.last, job.timeout_s) if job.wait else Exit.OK


def _show(settings: Settings, noun: str, last: Op, *, waited: bool) -> None:
    """Writes it to stdout. Trouble there changes nothing about how the operation ended. A table
    leaves out why it failed: that is the error on stderr, and both go to one terminal."""
    from msgspec.structs import replace

    from cleancut.api.operations import is_over
    from cleancut.cli.render.progress import headline

    told = waited and is_over(last) and exit_of_operation(last) is not Exit.OK
    if told and settings.output in TABLES:
        last = replace(last, error=None)
    try:
        emit(settings.output, noun, last)
    except CleancutError as error:
        say(f"{headline(noun, last)}; the result was not printed: {error.message}")


async def _follow(settings: Settings, job: Job[Op]) -> None:
    """Fills `job.last` until the operation is over or the time is."""
    import asyncio

    from cleancut.api.operations import is_over
    from cleancut.cli.render.progress import open_progress
    from cleancut.cli.render.stream import StateStream

    async with settings.client() as client:
        await check_target(settings, client)
        job.last = await job.start(client)
        if not job.wait:
            return
        states = StateStream(job.noun) if _streams(settings, job) else None
        stream = job.watch(client, job.last.id)
        quiet = settings.quiet or settings.output == "ndjson"
        with open_progress(job.noun, quiet=quiet) as progress:
            view = states or progress
            view.see(job.last)
            try:
                async with asyncio.timeout(job.timeout_s), aclosing(stream):
                    async for seen in stream:
                        job.last = seen
                        view.see(seen)
                        if states and states.unread and not is_over(seen):
                            job.unread = True
                            return
            except TimeoutError:
                return


def _streams(settings: Settings, job: Job[Op]) -> bool:
    """True if stdout gets each state of the operation, instead of the last one."""
    return settings.output == "ndjson" and job.wait and job.shown


def _conclude(noun: str, last: Operation, timeout_s: float) -> Exit:
    """Says on stderr what went wrong, if anything did."""
    from cleancut.api.operations import is_over
    from cleancut.cli.render.progress import headline

    if not is_over(last) and last.state is not State.ROLLING_BACK:
        return report_error(
            TimedOut(
                f"{headline(noun, last)}, still, after {timeout_s:.0f} s",
                f"it continues; {_again(noun, last.id)} waits again",
            )
        )
    code = exit_of_operation(last)
    if code is not Exit.OK:
        error = last.error
        return report_parts(
            code,
            error.reason if error else "FAILED",
            f"{headline(noun, last)}: {error.message if error else 'no reason is recorded'}",
            error.hint if error else "",
        )
    return code


def conclude_cancel(settings: Settings, noun: str, last: Operation, watch: str) -> Exit:
    """Writes the canceled operation to stdout. `watch`: the verb that waits."""
    from cleancut.api.operations import is_over
    from cleancut.cli.render.progress import headline

    emit(settings.output, noun, last)
    if not is_over(last):
        hint = f"`cleancut {watch}` waits for its end"
        return report_error(TimedOut(f"{headline(noun, last)}, still", hint))
    return Exit.NEEDS_OPERATOR if last.state is State.NEEDS_OPERATOR else Exit.OK


def _interrupted(job: Job[Any]) -> Exit:
    from cleancut.api.state_words import title_of

    if job.last is None:
        again = f"`--request-id {job.request_id}` asks for the same one again"
        return report_interrupted(
            f"interrupted during the request; the {job.noun} may have been started",
            f"look with {_look(job.noun)}",
            *((again,) if job.request_id else ()),
        )
    return report_interrupted(
        f"stopped waiting; {job.noun} {title_of(job.last)} continues",
        f"{_again(job.noun, job.last.id)} waits again; `cancel` instead of `watch` ends it",
    )


def _again(noun: str, name: str) -> str:
    """By its id: each attempt of a running backup has another number."""
    return f"`cleancut {noun} watch {name}`"


def _look(noun: str) -> str:
    return f"`cleancut {noun} list`"
