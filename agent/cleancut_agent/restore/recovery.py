"""Recovery of shards by the local peer; an unclear attempt is repeated only once it has ended."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.restore.phases import AT_ONCE, recover_bound_s
from cleancut.qdrant.live_shards import live_shards
from cleancut.qdrant.recovery import needs_upload, unreached
from cleancut.qdrant.responses import Telemetry
from cleancut.runtime.concurrency import run_all
from cleancut_agent.context import AgentContext
from cleancut_agent.restore.identity import check_chosen, check_same, named
from cleancut_agent.restore.tar_server import Offer, TarServer
from cleancut_agent.wait_for_peer import PEER_BACK_S

_Way = Callable[[ShardTask, Offer, float], Awaitable[None]]
TRIES = 4
_APPLY_S = 30.0
_LEFT_S = 10.0
"""How long a shard that cannot be counted may be one that is only hard to reach."""
_SETTLE_S = 5.0
_POLL_S = 0.5


class Recovery:
    """Recovers shards of the local peer from tars that this process serves or uploads."""

    def __init__(self, context: AgentContext, tars: TarServer) -> None:
        self._context, self._tars = context, tars
        self._uploads = False

    async def recover_all(self, tasks: Sequence[ShardTask], *, empty: bool) -> None:
        """Every shard holds its tar. Raises: what made one of them impossible."""
        check = self._check_empty if empty else self._check_left
        await self._at_once([partial(check, task) for task in tasks])
        await self._at_once([partial(self._recover, task, empty=empty) for task in tasks])

    async def _at_once(self, calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Needs an event loop: a simulation has none, and does it in its own way."""
        await run_all(calls, AT_ONCE)

    async def _check_empty(self, task: ShardTask) -> None:
        """Raises: Refused, if the new shard holds points; Unavailable, if it is not there in time,
        which a lost one never is."""
        clock = self._context.clock
        deadline_s = clock.monotonic_s() + _APPLY_S
        while True:
            try:
                count = await self._context.qdrant.count(task.collection, task.shard_id)
                break
            except (NotFound, Unavailable):  # the local peer may lag behind the one that created it
                if task.repair:
                    return
                if clock.monotonic_s() >= deadline_s:
                    raise
                await clock.sleep(_POLL_S)
        if count:
            raise _written(task, count)

    async def _check_lost(self, task: ShardTask) -> None:
        """Raises: Refused, if a shard that is to be repaired is not lost any more: a peer that is
        back would have another replica, of another time, next to its own."""
        if not task.repair:
            return
        entry = (await self._telemetry()).collections.get(task.collection)
        if entry is None:
            return
        placement = await self._context.qdrant.placement(task.collection)
        if task.shard_id not in live_shards(task.collection, entry, placement).lost:
            raise Refused(
                f"{_name(task)} is not lost any more: nothing was put into it",
                "`cleancut doctor` shows which shards are",
            )

    async def _check_left(self, task: ShardTask) -> None:
        """Raises: Refused, if the shard holds what no earlier life of this agent can have left.

        Limits: where the group holds no count, points of a stranger look like that life's.
        """
        clock = self._context.clock
        deadline_s = clock.monotonic_s() + _LEFT_S
        while True:
            try:
                count = await self._context.qdrant.count(task.collection, task.shard_id)
                break
            except (NotFound, Unavailable, TimedOut):
                if clock.monotonic_s() >= deadline_s:
                    return  # half recovered, perhaps: recovering it again is what repairs it
                await clock.sleep(_POLL_S)
        if count and task.count not in {None, count}:
            raise _written(task, count)

    async def _recover(self, task: ShardTask, *, empty: bool) -> None:
        """Order: looked at again, since its turn may come hours after the first look.

        Raises: the last error, once it cannot be fixed or has come `TRIES` times.
        """
        if empty:
            await self._check_empty(task)
            await self._check_lost(task)
        for left in reversed(range(TRIES)):
            telemetry = await self._telemetry()
            check_same(telemetry, task)
            try:
                await self._put(task, telemetry.startup)
                return await self._check_replayed(task, telemetry.startup)
            except CleancutError as error:
                if not error.retryable or left == 0:
                    raise
            await self._context.clock.sleep(_POLL_S)

    async def _check_replayed(self, task: ShardTask, startup: str) -> None:
        """Raises: Corrupt, unless the stored log was replayed to its end: Qdrant stops at the first
        entry that does not fit, and answers 200. Unavailable, if the peer has restarted since."""
        if task.last_entry < 0:
            return
        telemetry = await self._telemetry()
        if telemetry.startup != startup:
            raise Unavailable(f"the peer was restarted while {_name(task)} was recovered")
        collection = telemetry.collections.get(task.collection)
        shard = collection.shards.get(task.shard_id) if collection else None
        number = shard.op_num if shard else None
        written_to = task.repair and number is not None and number > task.last_entry
        if number != task.last_entry and not written_to:
            raise Corrupt(
                f"{_name(task)} was replayed to operation {number}, and its stored log ends with"
                f" {task.last_entry}",
                "verify the backup; see the peer's log",
            )

    async def _put(self, task: ShardTask, startup: str) -> None:
        """By URL; by upload, once the peer has forbidden URLs or cannot reach this process."""
        if not self._uploads:
            try:
                return await self._send(task, startup, self._pull)
            except CleancutError as error:
                if not needs_upload(error):
                    raise
            self._uploads = True
        return await self._send(task, startup, self._upload)

    async def _pull(self, task: ShardTask, offer: Offer, bound_s: float) -> None:
        try:
            await self._context.qdrant.recover_shard(
                task.collection,
                task.shard_id,
                location=self._context.loopback + offer.path,
                sha256=task.tar_sha256,
                timeout_s=bound_s,
            )
        except Unavailable as error:
            if offer.pulled:  # it does reach this process
                raise Unavailable(error.message, error.hint) from error
            raise
        except (Corrupt, TimedOut) as error:
            if offer.pulled:
                raise
            raise unreached(error) from error  # another server answered, such as a proxy, or none

    async def _upload(self, task: ShardTask, offer: Offer, bound_s: float) -> None:
        """By a name that no other collection ever has: by its own, one that has taken its place
        meanwhile would be overwritten."""
        async with named(self._context, task) as name:
            await self._context.qdrant.upload_shard(
                name,
                task.shard_id,
                chunks=self._tars.chunks(offer),
                size_bytes=offer.size_bytes,
                sha256=task.tar_sha256,
                timeout_s=bound_s,
            )

    async def _send(self, task: ShardTask, startup: str, way: _Way) -> None:
        check = partial(check_chosen, self._context, task)
        async with self._tars.offer(task, check) as offer:
            bound_s = recover_bound_s(offer.size_bytes, task.replay)
            try:
                await way(task, offer, bound_s)
            except TimedOut as error:
                if offer.failure is not None and way == self._upload:
                    raise offer.failure from error
                await self._wait_ended(offer, startup, bound_s)
                raise
            except CleancutError as error:
                if offer.failure is not None:  # Qdrant only saw a short body
                    raise offer.failure from error
                raise

    async def _wait_ended(self, offer: Offer, startup: str, bound_s: float) -> None:
        """Returns when a recovery of unknown outcome cannot be running any more: the peer was
        restarted, or it has long had the whole tar, or lost it.

        Raises: TimedOut, if it is still pulling after the bound.
        """
        if await self._restarted(startup):
            return
        await offer.wait_idle(bound_s)
        await self._context.clock.sleep(_SETTLE_S)

    async def _restarted(self, startup: str) -> bool:
        with contextlib.suppress(Unavailable, TimedOut):
            return (await self._context.qdrant.telemetry()).startup != startup
        return (await self._telemetry()).startup != startup

    async def _telemetry(self) -> Telemetry:
        """What the peer says of itself; waits for a peer that is being started.

        Raises: Unavailable, TimedOut, if it does not come back.
        """
        clock = self._context.clock
        deadline_s = clock.monotonic_s() + PEER_BACK_S
        while True:
            try:
                return await self._context.qdrant.telemetry()
            except (Unavailable, TimedOut):
                if clock.monotonic_s() >= deadline_s:
                    raise
                await clock.sleep(_POLL_S)


def _written(task: ShardTask, count: int) -> Refused:
    return Refused(
        f"{_name(task)} holds {count} points before it is restored: somebody writes to it",
        "keep clients away from the collection until the restore is done",
    )


def _name(task: ShardTask) -> str:
    return f"shard {task.shard_id} of {task.collection!r}"
