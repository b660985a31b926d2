"""Verifications and drills that callers of the API ask the leader for, one at a time.

Each runs as a scheduled one does. It goes on if its caller leaves, and the same call waits for it
again; it ends with the term.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, TypeVar

from cleancut.api.checks import Drill, Verdict
from cleancut.api.values import ApiValue
from cleancut.core.format.story import StoryKind
from cleancut.core.maintenance.stories import ASKED_BY_VARIABLE, GOOD
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import CleancutError, Refused, Unavailable
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.protocol.etcd_records import CheckUnderWay
from cleancut.ports.coordination import Delete, Op, Put
from cleancut.rpc.authentication import caller_name
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.state import LeaderState, format_now
from cleancut_coordinator.maintenance.scheduled_checks import (
    result_of,
    run_command,
    trouble,
)
from cleancut_coordinator.maintenance.story_keeper import record_work

V = TypeVar("V", bound=ApiValue)
_IDLE_S = 3600.0
_Ended = tuple[bytes, bytes] | CleancutError


class AskedCheck(NamedTuple):
    """`flags`: of the command line's verb `kind`; what a caller gave is part of one word each."""

    kind: StoryKind
    backup: str
    flags: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.kind} of backup {self.backup}"


class _UnderWay(NamedTuple):
    check: AskedCheck
    ended: asyncio.Future[_Ended]


class AskedChecks:
    """One term's checks; `lease`: of the leader. Order: `run` before the others."""

    def __init__(
        self, context: CoordinatorContext, lease: int, token: FencingToken, log: Logger
    ) -> None:
        self._context, self._lease, self._log = context, lease, log
        self._state = LeaderState(context, token)
        self._group: asyncio.TaskGroup | None = None
        self._now: _UnderWay | None = None

    async def run(self) -> None:
        """Never returns. What is under way ends with it."""
        async with asyncio.TaskGroup() as self._group:
            while True:
                await self._context.clock.sleep(_IDLE_S)

    async def verify(
        self, backup: str, *, quick: bool, read_percent: int, within_s: float
    ) -> Verdict:
        """Raises: Refused, while another check is under way; Unavailable, if the term ends; what
        the verification does. Limits: a day."""
        flags = ["--quick"] if quick else [f"--read-data={read_percent or 100}"]
        if within_s:
            flags.append(f"--unless-read-within={within_s:.0f}s")
        return await self._result(AskedCheck(StoryKind.VERIFY, backup, tuple(flags)), Verdict)

    async def drill(self, backup: str, *, collections: tuple[str, ...], shards: int) -> Drill:
        """Raises: as `verify`."""
        flags = [f"--collection={name}" for name in collections]
        if shards:
            flags.append(f"--shards={shards}")
        return await self._result(AskedCheck(StoryKind.DRILL, backup, tuple(flags)), Drill)

    async def _result(self, check: AskedCheck, kind: type[V]) -> V:
        if self._group is None:
            raise Unavailable("this coordinator has only begun to lead", "repeat it")
        now = self._now
        if now is None:
            now = self._now = _UnderWay(check, asyncio.get_running_loop().create_future())
            task = self._group.create_task(self._run(check))
            task.add_done_callback(self._end)
        elif now.check != check:
            raise Refused(
                f"a {now.check.title} is under way",
                "one check at a time: wait for its end, or run this one with --store where you are",
            )
        ended = await asyncio.shield(now.ended)
        if isinstance(ended, CleancutError):
            raise ended
        return result_of(check.kind, kind, *ended)

    async def _run(self, check: AskedCheck) -> _Ended:
        """It is shown while it runs."""
        context = self._context
        shown = CheckUnderWay(
            kind=check.kind,
            backup=check.backup,
            began_at=format_now(context.clock),
            asked_by=caller_name(),
            nonce=context.token_hex(8),
        )
        await self._write(Put(context.keys.check, encode(shown), lease=self._lease))
        ended = await self._prove(check)
        await self._write(Delete(context.keys.check))
        return ended

    async def _write(self, op: Op) -> None:
        try:
            await self._state.txn([op])
        except CleancutError as error:
            self._log.debug("check under way not shown", cause=error.message)

    async def _prove(self, check: AskedCheck) -> _Ended:
        began_s, asked_by = self._context.clock.wall_s(), caller_name()
        words, variables = (*check.flags, "--", check.backup), {ASKED_BY_VARIABLE: asked_by}
        try:
            code, out, err = await run_command(
                self._context, check.kind, *words, variables=variables
            )
        except CleancutError as error:
            await self._keep(check, began_s, error.message)
            return error
        outcome = GOOD if code == 0 else trouble(code, out, err)
        log = self._log.info if code == 0 else self._log.error
        log("proved", do=check.kind, backup=check.backup, outcome=outcome, asked_by=asked_by)
        if code < 0:
            await self._keep(check, began_s, outcome)
        return out, err

    def _end(self, task: asyncio.Task[_Ended]) -> None:
        """Each caller that waits is answered, however it ended."""
        now, self._now = self._now, None
        assert now is not None, "one task at a time"
        lost = task.cancelled() or task.exception() is not None
        away = Unavailable(f"the {now.check.title} ended with the leader's term", "repeat it")
        now.ended.set_result(away if lost else task.result())

    async def _keep(self, check: AskedCheck, began_s: float, outcome: str) -> None:
        """The story of a command that could not end by itself, and so has left none."""
        facts = {"backup": check.backup, "outcome": outcome}
        try:
            await record_work(self._context, check.kind, began_s, ok=False, facts=facts)
        except CleancutError as error:
            self._log.warning("outcome not kept", backup=check.backup, cause=error.message)
