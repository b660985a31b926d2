"""Raising a backup's fence, and lifting it: at once, and again until it is seen lifted.

Lifting is level-triggered: what `fence/` in etcd still names is lifted unless its epoch is open and
needs it. Every agent does the same for what its local peer shows, so that nothing depends on this.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from cleancut.core.primitives.errors import CleancutError, Corrupt, TimedOut, Unavailable
from cleancut.core.primitives.ids import Epoch, FencingToken
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.fence import BUDGET_LIMIT_S, Fence, FencedAlias, is_raised
from cleancut.core.protocol.states import FENCED
from cleancut.fencing.aliases import give_back, rename
from cleancut.ports.coordination import Delete
from cleancut.runtime.concurrency import first_of, run_all
from cleancut.runtime.log import Logger, Trouble
from cleancut_coordinator.any_peer import first_answering
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_all, read_ctl
from cleancut_coordinator.leader.state import LeaderState
from cleancut_coordinator.metrics.registry import CoordinatorMetrics

RAISE_S = 2.0
LIFT_S = 5.0
_LOOK_S = 2.0
_AGAIN_S = 0.5
_AGAIN_LIMIT_S = 60.0
GIVE_UP_S = 3600.0
"""After which a fence that cannot be lifted is not tried any more: a hook that is gone for good."""
_TRIES = 5
"""Of one leader, before it gives up what is old."""
_AT_ONCE = 16
_SEEN_POLL_S = 0.005
Call = Callable[[], Coroutine[Any, Any, Any]]


async def raise_fence(context: CoordinatorContext, fence: Fence) -> None:
    """Holds writes off, as one peer shows.

    Raises: Refused (a hook said no, a name is taken), Unavailable, TimedOut: whatever was raised
        must be lifted.
    """
    call_hook = context.call_hook
    calls: list[Call] = [partial(call_hook, hook, "pause", fence, RAISE_S) for hook in fence.hooks]
    if fence.aliases:
        calls.append(partial(_fence_aliases, context, fence))
    await run_all(calls, _AT_ONCE)


async def _fence_aliases(context: CoordinatorContext, fence: Fence) -> None:
    peer = await first_answering(context.peers)
    actions = [rename(entry.alias, fence.name_of(entry.alias)) for entry in fence.aliases]
    try:
        async with asyncio.TaskGroup() as group:
            renaming = group.create_task(peer.change_aliases(actions, RAISE_S))
            while not renaming.done() and not is_raised(fence, await peer.aliases(RAISE_S)):
                await context.clock.sleep(_SEEN_POLL_S)
            # Its answer waits for all other peers, which have agents of their own that report.
            renaming.cancel()
    except BaseExceptionGroup as failures:
        raise first_of(failures) from failures


async def drain_writes(context: CoordinatorContext, fence: Fence) -> None:
    """Waits for the writes that one peer let in before the fence. Raises: Unavailable, TimedOut.

    Limits: a replica that hangs from now on keeps this, and what consensus has to apply after it,
    from ending. Source: measured; the PATCH takes the lock that writes hold, Qdrant 1.18.3.
    """
    peer = await first_answering(context.peers)
    names = sorted({entry.collection for entry in fence.aliases})
    change: dict[str, Any] = {"strict_mode_config": {}}
    await run_all(
        [partial(peer.patch_collection, name, change, RAISE_S) for name in names], _AT_ONCE
    )


async def lift_fence(context: CoordinatorContext, fence: Fence) -> None:
    """Returns once a peer shows all aliases by their names and all hooks have resumed: what cannot
    be lifted keeps nothing else from being lifted.

    Raises: Refused, if a name was given away meanwhile; Unavailable, TimedOut.
    """
    call_hook = context.call_hook
    calls: list[Call] = [partial(call_hook, hook, "resume", fence, LIFT_S) for hook in fence.hooks]
    calls += [partial(_free, context, fence, entry) for entry in fence.aliases]
    failures = [failed for failed in await run_all([_tried(c) for c in calls], _AT_ONCE) if failed]
    if failures:
        raise failures[0]


def _tried(call: Call) -> Callable[[], Coroutine[Any, Any, CleancutError | None]]:
    async def attempt() -> CleancutError | None:
        try:
            await call()
        except CleancutError as error:
            return error
        return None

    return attempt


async def _free(context: CoordinatorContext, fence: Fence, entry: FencedAlias) -> None:
    """Any peer will do: a change that is asked for twice is made once."""
    last: CleancutError = Unavailable("no Qdrant URL was given", "set --qdrant-url")
    for peer in context.peers:
        try:
            await give_back(peer, fence.name_of(entry.alias), entry.alias, LIFT_S)
        except (Unavailable, TimedOut) as error:
            last = error
        else:
            return
    raise last


class FenceReleaser:
    """Lifts fences for the length of a leader's term."""

    def __init__(
        self,
        context: CoordinatorContext,
        token: FencingToken,
        *,
        metrics: CoordinatorMetrics,
        log: Logger,
    ) -> None:
        self._context, self._state = context, LeaderState(context, token)
        self._metrics, self._log = metrics, log
        self._asked: asyncio.Queue[Fence] = asyncio.Queue()
        self._lifting: set[Epoch] = set()
        self._raised_s: dict[Epoch, float] = {}

    def raised(self, fence: Fence) -> None:
        """From now on writes may be held off."""
        self._raised_s[fence.epoch] = self._context.clock.monotonic_s()

    def lift(self, fence: Fence) -> None:
        """Lifts it, for an hour if need be; returns at once."""
        self._asked.put_nowait(fence)

    async def run(self) -> None:
        """Never returns."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    async with asyncio.timeout(_LOOK_S):
                        asked = [await self._asked.get()]
                except TimeoutError:
                    asked = await self._left_over()
                for fence in asked:
                    if fence.epoch not in self._lifting:
                        self._lifting.add(fence.epoch)
                        group.create_task(self._until_lifted(fence))

    async def _until_lifted(self, fence: Fence) -> None:
        pause_s, began_s = _AGAIN_S, self._context.clock.monotonic_s()
        tries, trouble = 0, Trouble(self._log, "error")
        while True:
            try:
                await lift_fence(self._context, fence)
                await self._forget(fence)
                break
            except CleancutError as error:
                tries += 1
                trouble.tell("fence stays", error.message, epoch=fence.epoch, hint=error.hint)
            if tries >= _TRIES and self._is_old(fence):
                await self._give_up(fence)
                return
            await self._context.clock.sleep(pause_s)
            if self._context.clock.monotonic_s() - began_s > BUDGET_LIMIT_S:
                pause_s = min(pause_s * 2, _AGAIN_LIMIT_S)  # a hook that is gone, most likely
        self._lifting.discard(fence.epoch)
        raised_s = self._raised_s.pop(fence.epoch, None)
        took_s = None
        if raised_s is not None:
            took_s = round(self._context.clock.monotonic_s() - raised_s, 4)
            self._metrics.fence_lifted(took_s)
        self._log.info("fence lifted", epoch=fence.epoch, took_s=took_s)

    def _is_old(self, fence: Fence) -> bool:
        try:
            raised_s = parse_time(fence.raised_at)
        except Corrupt:
            return True  # of another program: nothing says when
        return self._context.clock.wall_s() - raised_s > GIVE_UP_S

    async def _give_up(self, fence: Fence) -> None:
        """Its writer resumes by itself after the budget, and agents go on with its aliases."""
        self._log.error("fence given up", epoch=fence.epoch, after_s=GIVE_UP_S)
        with contextlib.suppress(CleancutError):  # found again at the next look
            await self._forget(fence)
        self._lifting.discard(fence.epoch)
        self._raised_s.pop(fence.epoch, None)

    async def _forget(self, fence: Fence) -> None:
        await self._state.txn([Delete(self._context.keys.fence(fence.epoch))])

    async def _left_over(self) -> list[Fence]:
        """What etcd still names, unless its epoch is open and needs it."""
        context = self._context
        try:
            fences = await read_all(context, context.keys.fences, Fence)
            ctl = await read_ctl(context) if fences else Ctl()
        except (Unavailable, TimedOut):
            return []  # looked for again soon; the lease ends if etcd stays away
        return [fence for fence in fences if ctl.epoch != fence.epoch or ctl.phase not in FENCED]
