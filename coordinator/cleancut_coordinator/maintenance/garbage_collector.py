"""The leader's garbage collection: groups that retention lets go, and objects that nothing names
any more.

A gc run takes no turn: backups and restores go on meanwhile. What makes that safe is in
`cleancut.core.maintenance.garbage`; here is the order in which it is asked, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from cleancut.api.garbage import ExpiredBackup, GarbageCollection, KeptBackup
from cleancut.core.archive.retention import LEAST_GRACE_S
from cleancut.core.format.story import StoryKind
from cleancut.core.maintenance.garbage import (
    UNFINISHED_S,
    GarbageList,
    GarbageMark,
    GcStep,
    LastGc,
    LiveSet,
    finished_seeds,
    next_of,
)
from cleancut.core.maintenance.retention import RetentionPlan, needs_confirmation
from cleancut.core.primitives.errors import CleancutError, Fenced, LeaseLost, Refused
from cleancut.core.primitives.ids import Epoch, FencingToken, Sha256
from cleancut.core.primitives.timestamps import format_second, parse_time
from cleancut.core.protocol.states import CLOSED, OperationKind, State
from cleancut.ports.coordination import Lease
from cleancut.repository.archive.garbage import ArchiveCollector, ArchiveRules, Sizes
from cleancut.repository.garbage import (
    ReferencedNames,
    StoredGarbageList,
    find_garbage,
    put_garbage_list,
    read_garbage_lists,
    read_holds,
    read_seeds,
)
from cleancut.repository.packs.underused_packs import renew_sparse
from cleancut.runtime.concurrency import run_all
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import (
    read_archive_states,
    read_ctl,
    read_operations,
    read_record,
)
from cleancut_coordinator.leader.cluster_id import check_store_owner
from cleancut_coordinator.leader.high_water import check_not_behind
from cleancut_coordinator.leader.state import LeaderState, format_now
from cleancut_coordinator.maintenance.expiry import (
    delete_group,
    doubt_of_clock,
    epochs_in_use,
    plan_expiry,
    publish_missing,
)
from cleancut_coordinator.maintenance.story_keeper import expire_stories, record_work
from cleancut_coordinator.metrics.registry import CoordinatorMetrics

_FIRST_S = 60.0
_AT_ONCE = 8
_PART = 500


class GarbageCollector:
    """One term's gc runs, one at a time."""

    def __init__(
        self,
        context: CoordinatorContext,
        lease: Lease,
        token: FencingToken,
        *,
        metrics: CoordinatorMetrics,
        log: Logger,
    ) -> None:
        self._context, self._lease = context, lease
        self._state = LeaderState(context, token)
        self._settings = context.gc
        self._metrics, self._log = metrics, log
        self._names = ReferencedNames(context.store, context.paths)
        self._archive = ArchiveCollector(context.store, context.paths, context.bases)
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Collects garbage for ever; a failure is logged, and the next one tries again."""
        every_s, clock = self._settings.every_s, self._context.clock
        next_s = clock.monotonic_s() + min(_FIRST_S, every_s)
        while every_s:
            await clock.sleep(max(0.0, next_s - clock.monotonic_s()))
            next_s = max(next_s + every_s, clock.monotonic_s())
            try:
                done = await self.collect()
            except (Fenced, LeaseLost):
                return
            except CleancutError as error:
                self._metrics.count_failed_gc()
                self._log.warning("gc failed", cause=error.message, hint=error.hint)
            else:
                self._log.info("gc done", **_told(done))
                for warning in done.warnings:
                    self._log.warning("gc keeps backups", cause=warning)

    async def collect(self, *, dry_run: bool = False, confirmed: bool = False) -> GarbageCollection:
        """One gc run: see `cleancut.core.maintenance.garbage`. With `dry_run` nothing is written.
        `confirmed`: whatever share of the groups expires.

        Raises: Refused (the store is another cluster's, the clock is in doubt, or too large a share
        of the groups would expire: then nothing is deleted); Corrupt or NotFound (something that a
        group names cannot be read: then nothing is marked for deletion or deleted); Fenced,
        LeaseLost.
        """
        async with self._turn:
            began_s = self._context.clock.wall_s()
            await check_store_owner(self._context)
            await check_not_behind(self._context)
            if not dry_run:
                await publish_missing(self._context, self._state)
            plan, stop = await self._plan(confirmed=confirmed)
            if stop is not None and not dry_run:
                await self._record_stop(stop)
                raise stop
            expired = await self._expire(plan, dry_run=dry_run)
            over = await self._end_seeds(dry_run=dry_run)
            gone = {Epoch(one.epoch) for one in expired} | over if dry_run else set()
            done = await self._collect(dry_run=dry_run, gone=gone)
            archived = await self._collect_archive(dry_run=dry_run)
            done = replace(
                done,
                deleted_objects=done.deleted_objects + archived.objects,
                deleted_bytes=done.deleted_bytes + archived.size_bytes,
            )
            done = replace(done, dry_run=dry_run, expired=expired)
            done = replace(done, kept=_kept(plan), warnings=_warnings(plan, stop))
            if not dry_run:
                await self._remove_unfinished()
                await self._record(done)
                await self._tidy_history(done, began_s)
            return done

    async def _remove_unfinished(self) -> None:
        self._check_leading()
        removed = await self._context.store.remove_unfinished(UNFINISHED_S)
        if removed:
            self._log.info("unfinished objects of killed writers removed", number=removed)

    async def _tidy_history(self, done: GarbageCollection, began_s: float) -> None:
        """A run that deleted nothing leaves no story."""
        facts = _facts(done)
        if any(facts.values()):
            await record_work(self._context, StoryKind.GC, began_s, facts=facts)
        self._check_leading()
        await expire_stories(self._context)

    async def _record(self, done: GarbageCollection) -> None:
        """Keeps when it was, so that the next leader knows it too."""
        last = LastGc(
            at=format_now(self._context.clock),
            marked_bytes=done.marked_bytes,
            nonce=self._context.token_hex(8),
        )
        await self._state.put(self._context.keys.last_gc, last)

    async def _record_stop(self, stop: Refused) -> None:
        """Keeps the reason for the next look at the cluster; the time of the last run that did
        not fail stays."""
        key = self._context.keys.last_gc
        last = await read_record(self._context, key, LastGc) or LastGc(at="")
        nonce = self._context.token_hex(8)
        await self._state.put(key, replace(last, stopped=stop.message, nonce=nonce))

    async def _plan(self, *, confirmed: bool) -> tuple[RetentionPlan, Refused | None]:
        """What expires, and why nothing may be deleted now; None if it may."""
        doubt = await doubt_of_clock(self._context)
        policy = self._settings.retention
        plan = await plan_expiry(self._context, self._names)
        if doubt:
            hint = "correct the clock that is wrong; until then nothing expires or is deleted"
            return plan, Refused(doubt, hint)
        if needs_confirmation(plan, policy) and not confirmed:
            total = len(plan.expired) + len(plan.kept)
            return plan, Refused(
                f"retention would expire {len(plan.expired)} of {total} backups, more than"
                f" max-expire-share = {policy.max_expire_share:.2g} allows; nothing was deleted",
                "see `cleancut backup gc --dry-run`; `cleancut backup gc --yes` confirms it",
            )
        return plan, None

    async def _expire(self, plan: RetentionPlan, *, dry_run: bool) -> tuple[ExpiredBackup, ...]:
        """Deletes each group that retention lets go, and that nothing has held meanwhile."""
        found = []
        for one in plan.expired:
            self._check_leading()
            if dry_run or await delete_group(self._context, one.epoch, one.why):
                found.append(ExpiredBackup(epoch=one.epoch, id=one.operation, why=one.why))
        return tuple(found)

    async def _end_seeds(self, *, dry_run: bool) -> set[Epoch]:
        """Nothing awaits a backup any more that has got it, or for too long. That this is written
        down first keeps it so: what was marked for deletion because of it never counts as known
        again."""
        context = self._context
        seeds = await read_seeds(context.store, context.paths)
        newest: dict[str, int] = {}
        for epoch, group in (await self._names.groups()).items() if seeds else ():
            if not group.facts.imported:
                newest.update(dict.fromkeys(group.facts.collections, epoch))
        over = set(finished_seeds(seeds, newest, context.clock.wall_s()))
        for epoch in () if dry_run else sorted(over):
            prefix = context.paths.seeds_of(epoch)
            for path in [info.path async for info in context.store.list(prefix)]:
                self._check_leading()
                await context.store.delete(path)
        return over

    async def _collect_archive(self, *, dry_run: bool) -> Sizes:
        """What is deleted of the archive needs no list: no backup can name it."""
        context, now_s = self._context, self._context.clock.wall_s()
        _, held = await read_holds(context.store, context.paths, now_s)
        states = await read_archive_states(context)
        rules = ArchiveRules(
            now_ms=int(now_s * 1000),
            keep_ms=int(context.archive.keep_s * 1000),
            grace_ms=int(max(self._settings.grace_s, LEAST_GRACE_S) * 1000),
            held={*map(Epoch, held), *await epochs_in_use(context)},
            following={shard.chain for state in states for shard in state.shards},
        )
        return await self._archive.collect(rules, dry_run=dry_run, check=self._check_leading)

    async def _collect(self, *, dry_run: bool, gone: set[Epoch]) -> GarbageCollection:
        """Deletes what is ripe, then looks for more."""
        context, deleted, waits = self._context, GarbageList(objects=()), ""
        lists = await read_garbage_lists(context.store, context.paths)
        step, marked = await self._next(lists)
        if step is GcStep.DELETE:
            deleted = await self._deletable(lists)
            if not dry_run:
                await self._delete(lists, deleted)
                lists, step = {}, GcStep.FIND
        found = GarbageList(objects=())
        if step is GcStep.FIND:
            found, waits = await self._find(dry_run=dry_run, gone=gone)
            if not dry_run and not waits:
                live = self._names.live_bytes()
                await renew_sparse(context.store, context.paths, live, await self._newest_begun())
            if found.objects and not dry_run:
                lists = await read_garbage_lists(context.store, context.paths)
                step = GcStep.MARK
        if step is GcStep.MARK and not dry_run:
            await self._mark(lists)
        if step is GcStep.WAIT_EPOCH:
            waits = "an operation that began before is still under way"
        if step is GcStep.WAIT_GRACE and marked is not None:
            ripe_s = parse_time(marked.at) + self._settings.grace_s
            waits = f"what is marked for deletion may go from {format_second(ripe_s)} on"
        waiting = [pair for one in lists.values() for pair in one.garbage.objects]
        waiting = waiting or list(found.objects)
        return GarbageCollection(
            marked_objects=len(waiting),
            marked_bytes=_bytes(waiting),
            deleted_objects=len(deleted.objects),
            deleted_bytes=_bytes(deleted.objects),
            waits=waits,
        )

    async def _next(
        self, lists: Mapping[str, StoredGarbageList]
    ) -> tuple[GcStep, GarbageMark | None]:
        context = self._context
        marked = await read_record(context, context.keys.gc, GarbageMark)
        waited_s = context.clock.wall_s() - parse_time(marked.at) if marked else 0.0
        step = next_of(
            _digests(lists),
            marked,
            open_epoch=await self._open_epoch(),
            waited_s=waited_s,
            grace_s=self._settings.grace_s,
        )
        return step, marked

    async def _open_epoch(self) -> Epoch | None:
        ctl = await read_ctl(self._context)
        return None if ctl.phase in CLOSED else ctl.epoch

    async def _find(self, *, dry_run: bool, gone: set[Epoch]) -> tuple[GarbageList, str]:
        """Puts what nothing names on a list; and why it did not look, if it did not."""
        context, nothing = self._context, GarbageList(objects=())
        before = await self._newest_begun()
        if await self._open_epoch() is not None:
            return (
                nothing,
                "an operation is under way: its objects cannot be distinguished from garbage",
            )
        living = await self._living(gone)
        found = await find_garbage(context.store, context.paths, living)
        if not found.objects or dry_run:
            return found, ""
        if await self._newest_begun() != before:
            return nothing, "an operation has begun meanwhile"
        self._check_leading()
        name = f"{before:012d}-{self._context.token_hex(8)}"
        await put_garbage_list(context.store, context.paths, name, found)
        return found, ""

    async def _newest_begun(self) -> Epoch:
        found = await self._context.etcd.get(self._context.keys.epoch)
        if found is None:
            return Epoch(0)
        return Epoch(self._context.skipped.read_number(found.key, found.value))

    async def _living(self, gone: set[Epoch]) -> LiveSet:
        context = self._context
        operations = await read_operations(context)
        used = {epoch for one in operations for epoch in (one.epoch, one.detail_epoch)}
        made = {
            one.epoch
            for one in operations
            if one.kind is OperationKind.BACKUP and one.state is State.COMMITTED
        }
        now_s = context.clock.wall_s()
        return await self._names.living(used_epochs=used, now_s=now_s, gone=gone, expected=made)

    async def _mark(self, lists: Mapping[str, StoredGarbageList]) -> None:
        """Whatever epoch begins from here on has seen the lists in the store."""
        marked = GarbageMark(
            lists=_digests(lists),
            epoch=await self._newest_begun(),
            at=format_now(self._context.clock),
            nonce=self._context.token_hex(8),
        )
        await self._state.put(self._context.keys.gc, marked)

    async def _deletable(self, lists: Mapping[str, StoredGarbageList]) -> GarbageList:
        living = await self._living(set())
        objects = [pair for one in lists.values() for pair in one.garbage.objects]
        return GarbageList(objects=tuple(pair for pair in objects if not living.is_live(pair[0])))

    async def _delete(self, lists: Mapping[str, StoredGarbageList], deletable: GarbageList) -> None:
        """The objects first, then the lists: who dies in between begins again."""
        context = self._context
        await self._delete_all([path for path, _ in deletable.objects])
        doomed = [context.paths.garbage_list(name) for name in lists]
        await self._delete_all([context.paths.relative(path) for path in doomed])
        await self._state.delete(context.keys.gc)

    async def _delete_all(self, paths: Sequence[str]) -> None:
        store, root = self._context.store, self._context.paths.root
        for start in range(0, len(paths), _PART):
            self._check_leading()
            part = paths[start : start + _PART]
            await run_all([partial(store.delete, root + path) for path in part], _AT_ONCE)

    def _check_leading(self) -> None:
        if not self._lease.alive():
            raise LeaseLost("the coordinator's lease is over")


def _kept(plan: RetentionPlan) -> tuple[KeptBackup, ...]:
    return tuple(KeptBackup(epoch=e, id=operation, why=why) for e, operation, why in plan.kept)


def _warnings(plan: RetentionPlan, stop: Refused | None) -> tuple[str, ...]:
    unknown = tuple(
        f"backups of schedule {name!r}, which is not configured, are kept; configure it, or delete"
        " them with `cleancut backup delete`"
        for name in plan.unknown
    )
    return (*((stop.message,) if stop else ()), *unknown)


def _digests(lists: Mapping[str, StoredGarbageList]) -> dict[str, Sha256]:
    return {name: one.sha256 for name, one in lists.items()}


def _bytes(objects: Sequence[tuple[str, int]]) -> int:
    return sum(size_bytes for _, size_bytes in objects)


def _facts(done: GarbageCollection) -> dict[str, int]:
    """What a gc run has changed."""
    return {
        "expired_backups": len(done.expired),
        "deleted_objects": done.deleted_objects,
        "deleted_bytes": done.deleted_bytes,
    }


def _told(done: GarbageCollection) -> dict[str, int | str]:
    return {
        "expired": len(done.expired),
        "marked_objects": done.marked_objects,
        "deleted_objects": done.deleted_objects,
        "deleted_bytes": done.deleted_bytes,
        "waits": done.waits,
    }
