"""Reading ahead: logs that no session follows now are read on until one takes them over.

A session may take longer to begin than Qdrant keeps small segments: it waits for the lease of a
predecessor that was killed, or for etcd. Nothing here is stored or said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import partial

from cleancut.core.archive.following import AWAY_S, HELD_BYTES
from cleancut.core.archive.plan import ArchiveState, ArchiveTask, FollowedShard, Place
from cleancut.core.primitives.errors import CleancutError, Denied, TimedOut, Unavailable
from cleancut.runtime.concurrency import run_in_thread
from cleancut.runtime.log import Logger
from cleancut_agent.archive.followed_log import FollowedLog, resume_log
from cleancut_agent.context import AgentContext
from cleancut_agent.wal.shard_tail import TailBroken

POLL_S = 0.5
_RETRY_S = 1.0
_FIRST_S = 0.25


class ReadAhead:
    """Those logs of one agent, for the life of its process. `has_session`: it had one, so that all
    it followed comes back here. `held_bytes`: the most that waits; where that is full for long,
    files are let go of, since Qdrant's disk must not fill up."""

    def __init__(self, context: AgentContext, log: Logger, held_bytes: int = HELD_BYTES) -> None:
        self._context, self._log, self._limit_bytes = context, log, held_bytes
        self._logs: dict[Place, FollowedLog] = {}
        self.has_session = False
        self._reading, self._some = asyncio.Lock(), asyncio.Event()
        self._full_since_s = context.clock.monotonic_s()

    @property
    def logs(self) -> tuple[FollowedLog, ...]:
        return tuple(self._logs.values())

    async def run(self) -> None:
        """Never returns. Begins with what an earlier process followed, unless a session begins at
        once."""
        await self._context.clock.sleep(_FIRST_S)
        if self._context.wal is not None and not self.has_session:
            with suppress(Denied):  # the session says so
                await self._open_all()
            self._context.release_segments()
        while True:
            await self._some.wait()
            async with self._reading:
                await run_in_thread(self._read_all)
                self._let_go_if_full()
            await self._context.clock.sleep(POLL_S)

    async def put_back(self, logs: Iterable[FollowedLog]) -> None:
        """Logs that a session lets go of. Order: nothing reads them any more."""
        async with self._reading:
            for log in logs:
                self._let_go([log.said.place])
                if log.new or log.pending_ms:  # no chain yet, or parts of it are stored or not
                    log.tail.close()
                else:
                    self._logs[log.said.place] = log
            self._full_since_s = self._context.clock.monotonic_s()
            self._rest_if_none()

    async def take(self, task: ArchiveTask, known: FollowedShard) -> FollowedLog | None:
        """The task's log, from behind what is stored of the chain `known`; None: it has to be
        opened."""
        async with self._reading:
            log = self._logs.pop(task.place, None)
            self._rest_if_none()
        if log is None:
            return None
        same = (log.said.chain, log.said.uuid) == (known.chain, task.uuid)
        if same and log.said.last >= known.last:
            return log
        log.tail.close()
        return None

    async def keep(self, places: Collection[Place]) -> None:
        """Lets go of all others."""
        if self._logs:
            async with self._reading:
                self._let_go([place for place in self._logs if place not in places])

    def close(self) -> None:
        """Order: once nothing reads."""
        self._let_go(list(self._logs))

    async def _open_all(self) -> None:
        state = await load_state(self._context)
        async with self._reading:
            for known in state.shards if state else ():
                try:
                    log = await run_in_thread(partial(resume_log, self._context, known))
                except CleancutError:
                    continue  # a session says why
                self._let_go([known.place])
                self._logs[known.place] = log
            self._full_since_s = self._context.clock.monotonic_s()
            self._rest_if_none()
        if self._logs:
            self._log.info("logs read ahead of a session", shards=len(self._logs))

    def _read_all(self) -> None:
        """In a thread. Order: under the lock."""
        for log in self.logs:
            while self._held_bytes() < self._limit_bytes:
                try:
                    entries = log.tail.poll()
                except (TailBroken, Unavailable):
                    break  # the tail says it again to the follower
                try:
                    log.add(entries, int(self._context.clock.wall_s() * 1000))
                except TailBroken:  # what it is to give out next is no longer known
                    self._let_go([log.said.place])
                    break
                if not log.tail.behind:
                    break

    def _held_bytes(self) -> int:
        return sum(log.buffer.size_bytes for log in self.logs)

    def _let_go_if_full(self) -> None:
        now_s = self._context.clock.monotonic_s()
        if self._held_bytes() < self._limit_bytes:
            self._full_since_s = now_s
        elif now_s - self._full_since_s > AWAY_S:
            self._log.warning("logs not read ahead any more", cause="no session for too long")
            self._let_go(list(self._logs))

    def _let_go(self, places: Iterable[Place]) -> None:
        for place in places:
            if place in self._logs:
                self._logs.pop(place).tail.close()
        self._rest_if_none()

    def _rest_if_none(self) -> None:
        if self._logs:
            self._some.set()
        else:
            self._some.clear()


async def load_state(context: AgentContext) -> ArchiveState | None:
    """What this agent followed and had stored, as it said last. Waits for etcd. Raises: Denied."""
    key = context.keys.archive_state(context.name)
    while True:
        try:
            found = await context.etcd.get(key)
        except (Unavailable, TimedOut):
            await context.clock.sleep(_RETRY_S)
            continue
        return context.skipped.read(ArchiveState, key, found.value) if found else None
