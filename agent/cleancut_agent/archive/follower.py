"""Follower of all shards that the plan gives to this agent: reads their logs and stores entries.

Loops of their own follow the plan, read, and store. Nothing here waits for Qdrant or keeps it
waiting. What waits to be stored is bounded: beyond that no log is read, and if the store stays away
the chains end.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from msgspec.structs import replace

from cleancut.core.archive.chunk import compress_body
from cleancut.core.archive.following import (
    AWAY_S,
    HELD_BYTES,
    MOST_CHUNK_BYTES,
    REPLANNED,
    RESTARTED,
    STORE_AWAY,
    Buffer,
    cut_due,
    end_of,
)
from cleancut.core.archive.plan import (
    ArchivePlan,
    ArchiveState,
    ArchiveTask,
    FollowedShard,
    Place,
    RoundEnds,
    UnfollowedShard,
)
from cleancut.core.archive.records import ChainEnd, ChunkPart
from cleancut.core.primitives.codec import Record, pack
from cleancut.core.primitives.errors import CleancutError, Denied, Refused, TimedOut, Unavailable
from cleancut.core.primitives.ids import ShardId
from cleancut.etcd.key_watch import watch_key
from cleancut.ports.coordination import Created, KeyValue, Put
from cleancut.repository.archive.writer import ChunkStream, put_chain, put_end
from cleancut.runtime.concurrency import run_all, run_in_thread
from cleancut.runtime.log import Logger, Trouble
from cleancut_agent.archive.followed_log import Before, FollowedLog, check_in_place, open_log
from cleancut_agent.archive.read_ahead import POLL_S, ReadAhead, load_state
from cleancut_agent.context import AgentContext
from cleancut_agent.metrics import ArchiveMeters
from cleancut_agent.prompt_store import prompt_store
from cleancut_agent.session import OpenSession
from cleancut_agent.wal.shard_tail import TailBroken, tails_at_most

_PUT_S = 60.0
_RETRY_S = 1.0
_AT_ONCE = 8
_SAY_S = 5.0
_NOT_PLANNED = "the plan gives the shard to another agent, or its collection is not archived"


@dataclass(slots=True)
class Taken:
    """What goes into a chunk, of which logs."""

    parts: list[ChunkPart] = field(default_factory=list)
    logs: list[FollowedLog] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)


class ArchiveFollower:
    """One session's following. `run` ends with the session. `held_bytes`: the most that waits."""

    def __init__(
        self,
        context: AgentContext,
        session: OpenSession,
        ahead: ReadAhead,
        *,
        metrics: ArchiveMeters,
        log: Logger,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self._context, self._session, self._limit_bytes = context, session, held_bytes
        self._ahead, self._metrics, self._log = ahead, metrics, log
        self._stream = ChunkStream(context.store, context.paths, context.token_hex(8))
        self._plan: ArchivePlan | None = None
        self._before: dict[Place, Before] = {}
        self._logs: dict[Place, FollowedLog] = {}
        self._leaving: list[FollowedLog] = []
        self._unfollowed: dict[Place, str] = {}
        self._ends: list[ChainEnd] = []
        self._reading = asyncio.Lock()
        self._pending_bytes = self._raw_bytes = self._stored_bytes = 0
        self._full_since_s = context.clock.monotonic_s()
        self._given_up, self._problem = False, ""
        self._said: tuple[object, object] = (None, None)
        self._said_s, self._busy = 0.0, asyncio.Event()

    def chain_of(self, collection: str, shard: ShardId) -> tuple[str, str]:
        """The chain that follows this shard's log now, and which log that is; empty: none."""
        found = self._logs.get((collection, shard))
        return (found.said.chain, found.said.log) if found else ("", "")

    async def run(self) -> None:
        """Never returns. Raises: LeaseLost."""
        self._ahead.has_session = True
        try:
            await self._load()
            async with asyncio.TaskGroup() as group:
                keys = self._context.keys
                group.create_task(self._watch(keys.archive_plan, self._planned))
                group.create_task(self._watch(keys.archive_round, self._answer))
                group.create_task(self._plan_for_ever())
                group.create_task(self._read_for_ever())
                group.create_task(self._store_for_ever())
        finally:
            async with self._reading:
                await self._ahead.put_back(self._logs.values())

    # The plan

    async def _load(self) -> None:
        """What this agent followed before it was away."""
        state = await load_state(self._context)
        if state is not None:
            self._before = {one.place: Before(one) for one in state.shards}
            self._said = "in an earlier session", None

    async def _planned(self, item: KeyValue | None) -> None:
        read, none = self._context.skipped.read, ArchivePlan(chunk_s=10.0)
        self._plan = (read(ArchivePlan, item.key, item.value) if item else none) or self._plan
        if not self._busy.is_set():
            self._full_since_s = self._context.clock.monotonic_s()
            self._busy.set()

    async def _pause(self) -> None:
        """Until the next look; while nothing is archived here, until the plan changes."""
        await self._context.clock.sleep(POLL_S)
        await self._busy.wait()

    def _rest(self) -> None:
        """Order: after all that there is was said."""
        theirs = self._before or self._unfollowed or self._leaving or self._ends
        if not (self._mine() or self._logs or theirs or self._given_up):
            self._busy.clear()

    async def _plan_for_ever(self) -> None:
        """Apart from the reading: it waits for the store and the peer."""
        while True:
            try:
                await self._follow_plan()
            except CleancutError as error:
                self._log.warning("archive plan not followed", cause=error.message)
            await self._pause()

    def _mine(self) -> dict[Place, ArchiveTask]:
        """The tasks of this agent."""
        peer, name = self._session.said.peer_id, self._context.name
        tasks = self._plan.tasks if self._plan else ()
        return {one.place: one for one in tasks if one.agent == name and one.peer == peer}

    async def _follow_plan(self) -> None:
        """Opens what is new, and lets go of what is not asked for any more."""
        if self._plan is None or self._session.said.peer_id is None:
            return
        mine = self._mine()
        async with self._reading:
            for place, log in list(self._logs.items()):
                task = mine.get(place)
                if task is None or task.uuid != log.said.uuid:
                    self._end(log, REPLANNED, _NOT_PLANNED)
        for place in [place for place in self._before if place not in mine]:
            gone = self._before.pop(place)
            if not gone.reason:
                why = f"{REPLANNED}: {_NOT_PLANNED}"
                self._ends.append(self._end_record(gone.said.chain, gone.said.last, why))
        self._unfollowed = {p: why for p, why in self._unfollowed.items() if p in mine}
        await self._ahead.keep(mine.keys() - self._logs.keys())
        gate = self._session.said.wal
        missing = [task for place, task in mine.items() if place not in self._logs]
        if gate != "":
            self._unfollowed |= {one.place: gate or "not known yet" for one in missing}
            return
        if missing and not self._given_up:
            await self._open_all(missing)

    async def _open_all(self, tasks: Sequence[ArchiveTask]) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = max(0, tails_at_most(files) - len(self._logs))
        self._unfollowed |= {one.place: f"{files} open files are too few" for one in tasks[room:]}
        opened: list[FollowedLog] = []
        for task in tasks[:room]:
            known = self._before.get(task.place)
            log = await self._ahead.take(task, known.said) if known and not known.reason else None
            log = log or await run_in_thread(partial(self._open, task))
            if log is not None:
                opened.append(log)
        if not opened:
            return
        try:
            telemetry = await self._context.qdrant.telemetry()
        except CleancutError as error:
            await self._drop(opened, f"its peer does not answer: {error.message}")
            return
        uuids = {name: one.uuid or "" for name, one in telemetry.collections.items()}
        await run_all([partial(self._begin, log, uuids) for log in opened], _AT_ONCE)
        await self._try_to_say()  # an agent that ends now goes on with these chains

    def _open(self, task: ArchiveTask) -> FollowedLog | None:
        try:
            return open_log(self._context, task, self._before.get(task.place))
        except CleancutError as error:
            self._unfollowed[task.place] = error.message
            return None

    async def _drop(self, logs: Sequence[FollowedLog], why: str) -> None:
        self._unfollowed |= {log.said.place: why for log in logs}
        await self._ahead.put_back(logs)

    async def _begin(self, log: FollowedLog, uuids: Mapping[str, str]) -> None:
        """Follows it from now on. Order: the record of its chain is stored before anything of it,
        after the collection's uuid was read with the log in its place."""
        try:
            if uuids.get(log.said.collection, "") != log.said.uuid:
                raise Unavailable("its collection was made again", "the plan will follow")
            if log.new is not None:
                await run_in_thread(partial(check_in_place, log))
                async with prompt_store("write a chain", self._context.store_bound_s):
                    await put_chain(self._context.store, self._context.paths, log.new)
        except CleancutError as error:
            await self._drop([log], error.message)
            return
        except BaseException:
            log.tail.close()
            raise
        if log.ended is not None:
            self._ends.append(log.ended)
            self._metrics.count_break(RESTARTED)
        self._before.pop(log.said.place, None)
        self._unfollowed.pop(log.said.place, None)
        self._logs[log.said.place] = log
        self._log.info(
            "archiving",
            collection=log.said.collection,
            shard=log.said.shard,
            chain=log.said.chain,
            first=log.said.first if log.new else log.said.last + 1,
            after=log.new.after if log.new else None,
            cause=log.new.reason if log.new else None,
        )
        log.new = log.ended = None

    # Reading

    async def _read_for_ever(self) -> None:
        while True:
            async with self._reading:
                if self._logs:
                    await run_in_thread(self._read_on)
                self._give_up_if_stuck()
            await self._pause()

    def _held_bytes(self) -> int:
        logs = (*self._logs.values(), *self._leaving)
        return self._pending_bytes + sum(log.buffer.size_bytes for log in logs)

    def _read_on(self) -> None:
        """In a thread. Order: under the lock."""
        for log in list(self._logs.values()):
            self._read_one(log)

    def _read_one(self, log: FollowedLog) -> bool:
        """True if all is read that was written before it began."""
        try:
            while self._held_bytes() < self._limit_bytes:
                entries = log.tail.poll()
                log.add(entries, self._now_ms())
                if not log.tail.behind:
                    return True
        except TailBroken as broken:
            last = end_of(broken.cause, log.next - 1, log.tail.confirmed)
            self._end(log, broken.cause.value, broken.message, last)
        except CleancutError as error:
            self._problem = error.message
        return False

    def _end(self, log: FollowedLog, why: str, detail: str, last: int | None = None) -> None:
        """Follows it no more; what was read is stored, and then the end of the chain."""
        place = log.said.place
        del self._logs[place]
        log.tail.close()
        end, reason = log.next - 1 if last is None else last, f"{why}: {detail}"
        log.end = self._end_record(log.said.chain, end, reason)
        self._leaving.append(log)
        self._before[place] = Before(log.said, reason)
        self._metrics.count_break(why)
        self._log.warning(
            "chain ended",
            collection=log.said.collection,
            shard=log.said.shard,
            chain=log.said.chain,
            last=end,
            reason=why,
            cause=detail,
        )

    def _end_record(self, chain: str, last: int, reason: str) -> ChainEnd:
        return ChainEnd(chain=chain, last=last, at_ms=self._now_ms(), reason=reason)

    def _give_up_if_stuck(self) -> None:
        """The store has taken nothing for long: what waits is dropped, and files are let go of."""
        now_s = self._context.clock.monotonic_s()
        if self._held_bytes() < self._limit_bytes:
            self._full_since_s = now_s
        if now_s - self._full_since_s <= AWAY_S:
            return
        self._given_up = True
        for log in list(self._logs.values()):
            dropped = log.buffer.entries[0].index if log.buffer.entries else log.next
            log.buffer = Buffer()
            why = f"{self._problem}; {self._limit_bytes} bytes waited"
            self._end(log, STORE_AWAY, why, dropped - 1)

    # Storing

    async def _store_for_ever(self) -> None:
        while True:
            with self._problems():
                await self._store_once()
            if await self._try_to_say():
                self._rest()
            await self._pause()

    async def _store_once(self) -> None:
        chunk_s = self._plan.chunk_s if self._plan else 0.0
        logs = [*self._logs.values(), *self._leaving]
        if cut_due([log.buffer for log in logs], self._now_ms(), chunk_s) or self._leaving:
            await self._store_chunk()
        for log in [log for log in self._leaving if not log.waits]:
            self._leaving.remove(log)
            assert log.end is not None
            self._ends.append(log.end)
        while self._ends:
            await self._put_end(self._ends[0])
            self._ends.pop(0)
        if self._given_up:  # the store has taken all that is left of those chains
            self._full_since_s, self._given_up = self._context.clock.monotonic_s(), False

    async def _put_end(self, end: ChainEnd) -> None:
        context = self._context
        with contextlib.suppress(Refused):  # it has ended already, as an earlier run saw it
            async with prompt_store("write the end of a chain", context.store_bound_s):
                await put_end(context.store, context.paths, end)

    async def _store_chunk(self) -> None:
        """Everything that waits, up to a bound. It is tried until the store has it."""
        async with self._reading:
            taken = self._take()
        if not taken.parts:
            return
        body = await asyncio.to_thread(compress_body, b"".join(taken.data))
        self._stream.make(body, taken.parts, self._now_ms())
        entries = sum(len(part.lengths) for part in taken.parts)
        raw = sum(map(len, taken.data))
        taken.data.clear()
        stored = await self._put_until_stored()
        for log, part in zip(taken.logs, taken.parts, strict=True):
            log.said = replace(log.said, last=part.last, position=part.position)
            log.pending_ms = 0
        self._pending_bytes, self._problem = 0, ""
        self._full_since_s = self._context.clock.monotonic_s()
        self._raw_bytes, self._stored_bytes = self._raw_bytes + raw, self._stored_bytes + stored
        self._metrics.count_archived(entries=entries, raw=raw, stored=stored)

    def _take(self) -> Taken:
        """Order: under the lock, so that tails stand where the buffers end."""
        taken = Taken()
        for log in sorted(
            (*self._leaving, *self._logs.values()), key=lambda log: log.buffer.since_ms
        ):
            buffer = log.buffer
            if not buffer.entries:
                continue
            if taken.parts and self._pending_bytes + buffer.size_bytes > MOST_CHUNK_BYTES:
                continue
            self._pending_bytes += buffer.size_bytes
            log.pending_ms = buffer.since_ms
            taken.data += [entry.data for entry in buffer.entries]
            taken.parts.append(buffer.take(log.said, log.tail.position))
            taken.logs.append(log)
        return taken

    async def _put_until_stored(self) -> int:
        context, trouble = self._context, Trouble(self._log)
        while True:
            try:
                async with prompt_store("write a chunk", _PUT_S):
                    _, size = await self._stream.put()
                return size
            except CleancutError as error:
                self._problem = f"{error.message} [{error.reason}]"
                trouble.tell("chunk not stored", self._problem)
            await self._try_to_say()
            await context.clock.sleep(_RETRY_S)

    # What is said in etcd

    async def _try_to_say(self) -> bool:
        """As `_say`. What etcd does not take now is said later; False then."""
        with self._problems():
            await self._say()
            return True
        return False

    @contextlib.contextmanager
    def _problems(self) -> Iterator[None]:
        """Notes why etcd or the store takes nothing now: backups do not depend on it."""
        try:
            yield
        except (Unavailable, TimedOut, Denied) as error:
            if error.message != self._problem:
                self._log.warning("archive not written", cause=error.message)
            self._problem = error.message

    async def _write(self, key: str, record: Record, lease: int = 0) -> None:
        guard = Created(self._context.keys.session(self._context.name), self._session.token)
        await self._context.etcd.txn([guard], [Put(key, pack(record), lease=lease)])

    async def _say(self) -> None:
        """The state, if it has changed. Raises: Unavailable, TimedOut, Denied."""
        context, now_s = self._context, self._context.clock.monotonic_s()
        shards = tuple(log.state() for _, log in sorted(self._logs.items()))
        lags = [self._now_ms() - one.behind_ms for one in shards if one.behind_ms]
        self._metrics.show(shards=len(shards), lag_s=max(lags, default=0) / 1000)
        gone = tuple(
            UnfollowedShard(collection=place[0], shard=place[1], reason=why)
            for place, why in sorted(self._unfollowed.items())
        )
        kept = self._kept(shards)
        lasting = tuple((one.chain, one.last) for one in (*shards, *kept)), gone, self._problem
        moving = tuple((one.seen, one.behind_ms) for one in shards)
        due = lasting != self._said[0] or (
            moving != self._said[1] and now_s - self._said_s >= _SAY_S
        )
        nothing = self._said[0] is None and not (shards or gone or kept)
        if not due or nothing or self._plan is None:
            return
        state = ArchiveState(
            agent=context.name,
            session=self._session.token,
            stream=self._stream.stream,
            at_ms=self._now_ms(),
            shards=(*shards, *kept),
            unfollowed=gone,
            raw_bytes=self._raw_bytes,
            stored_bytes=self._stored_bytes,
            problem=self._problem,
            nonce=context.token_hex(8),
        )
        await self._write(context.keys.archive_state(context.name), state)
        self._said, self._said_s = (lasting, moving), now_s

    def _kept(self, shards: Sequence[FollowedShard]) -> list[FollowedShard]:
        """What may still be continued, although it is not followed now."""
        there = {one.place for one in shards}
        return [b.said for p, b in sorted(self._before.items()) if not b.reason and p not in there]

    async def _answer(self, item: KeyValue | None) -> None:
        """A round: where each log ends now."""
        peer = self._session.said.peer_id
        if item is None or self._plan is None or peer is None or not self._mine():
            return
        async with self._reading:
            logs = list(self._logs.values())
            read = await run_in_thread(lambda: [log for log in logs if self._read_one(log)])
            ends = tuple(log.mark_end(peer) for log in read)
        answer = RoundEnds(round=item.mod_revision, ends=ends)
        key = self._context.keys.archive_ends_of(self._context.name)
        with self._problems():
            await self._write(key, answer, self._session.lease.id)

    async def _watch(self, key: str, take: Callable[[KeyValue | None], Awaitable[None]]) -> None:
        while True:
            with contextlib.suppress(Unavailable, TimedOut):
                async with aclosing(watch_key(self._context.etcd, key)) as found:
                    async for item in found:
                        await take(item)
            await self._context.clock.sleep(_RETRY_S)  # the lease ends if it lasts

    def _now_ms(self) -> int:
        return int(self._context.clock.wall_s() * 1000)
