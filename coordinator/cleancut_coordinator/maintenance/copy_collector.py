"""Expiry and garbage collection of the copies in other stores, by the leader that has them in its
file.

An object of a copy is deleted only if the copy's groups do not name it and the source no longer has
it: see `CopyGarbage`. So a copy that is under way needs no lock, whichever process writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from cleancut.core.maintenance.copying import CopyGarbage
from cleancut.core.maintenance.garbage import UNFINISHED_S
from cleancut.core.maintenance.retention import (
    KEEP_ALL,
    Policy,
    RetentionPlan,
    needs_confirmation,
    plan_retention,
)
from cleancut.core.primitives.errors import CleancutError, Fenced, LeaseLost, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.ports.coordination import Lease
from cleancut.ports.store import Store
from cleancut.repository.catalog import list_epochs, read_epochs
from cleancut.repository.garbage import ReferencedNames, read_holds
from cleancut.repository.owners import check_copy_of
from cleancut.runtime.concurrency import run_all
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext, CopyStore
from cleancut_coordinator.etcd_state import read_operations
from cleancut_coordinator.leader.cluster_id import check_store_owner
from cleancut_coordinator.leader.high_water import check_not_behind
from cleancut_coordinator.maintenance.expiry import delete_group, doubt_of_clock
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from cleancut_coordinator.schedules import read_schedules

_FIRST_S = 120.0
_AT_ONCE = 8
_PART = 500


@dataclass(frozen=True, slots=True)
class Collected:
    """What one run has done to one copy."""

    expired: int = 0
    deleted_objects: int = 0


class CopyCollector:
    """One term's runs, one store after the other."""

    def __init__(
        self, context: CoordinatorContext, lease: Lease, metrics: CoordinatorMetrics, log: Logger
    ) -> None:
        self._context, self._lease = context, lease
        self._metrics, self._log = metrics, log
        self._names = {
            name: ReferencedNames(one.store, context.paths) for name, one in context.stores.items()
        }
        self._source = ReferencedNames(context.store, context.paths)

    async def run(self) -> None:
        """Collects for ever; a failure is logged, and the next one tries again."""
        every_s, clock = self._context.gc.every_s, self._context.clock
        wait_s = min(_FIRST_S, every_s)
        while every_s and self._context.stores:
            await clock.sleep(wait_s)
            wait_s = every_s
            for name in self._context.stores:
                try:
                    done = await self.collect(name)
                except (Fenced, LeaseLost):
                    return
                except CleancutError as error:
                    self._metrics.count_failed_gc()
                    self._log.warning(
                        "gc of a copy failed", store=name, cause=error.message, hint=error.hint
                    )
                else:
                    self._log.info(
                        "gc of a copy done",
                        store=name,
                        expired=done.expired,
                        deleted_objects=done.deleted_objects,
                    )

    async def collect(self, name: str) -> Collected:
        """Expires what the copy's own rules do not keep, and deletes what nothing needs.

        Raises: Refused (it is not a copy of this cluster's store, a clock is in doubt, or too large
            a share would expire); what the stores do. Then nothing is deleted.
        """
        context, there = self._context, self._context.stores[name]
        if not await check_copy_of(context.store, there.store, context.paths, there.rule.url):
            return Collected()
        await check_store_owner(context)
        await check_not_behind(context)
        plan = await self._plan(name, there)
        expired = 0
        for one in plan.expired:
            self._check_leading()
            expired += await delete_group(context, one.epoch, one.why, there.store)
        garbage = await self._garbage(name, there.store)
        for start in range(0, len(garbage), _PART):
            self._check_leading()
            part = garbage[start : start + _PART]
            deletions = [partial(there.store.delete, context.paths.root + path) for path in part]
            await run_all(deletions, _AT_ONCE)
        self._check_leading()
        await there.store.remove_unfinished(UNFINISHED_S)
        return Collected(expired, len(garbage))

    async def _plan(self, name: str, there: CopyStore) -> RetentionPlan:
        context, now_s = self._context, self._context.clock.wall_s()
        if doubt := await doubt_of_clock(context):
            hint = "correct the clock that is wrong; until then nothing expires or is deleted"
            raise Refused(doubt, hint)
        share = context.gc.retention.max_expire_share
        known = frozenset(await read_schedules(context))
        policy = Policy(there.rule.retention or KEEP_ALL, {}, known, share)
        facts = [group.facts for group in (await self._names[name].groups()).values()]
        _, held = await read_holds(there.store, context.paths, now_s)
        plan = plan_retention(facts, policy, now_s, {Epoch(epoch): "held" for epoch in held})
        if needs_confirmation(plan, policy):
            total = len(plan.expired) + len(plan.kept)
            raise Refused(
                f"retention of [store.{name}] would expire {len(plan.expired)} of {total} backups,"
                f" more than max-expire-share = {share:.2g} allows; nothing was deleted",
                "correct the rules, or raise --max-expire-share for one run",
            )
        return plan

    async def _garbage(self, name: str, store: Store) -> Sequence[str]:
        """Paths under the cluster's folder; none, if the copy has groups that were not listed
        before. Order: the source is read before the copy."""
        context, paths, now_s = self._context, self._context.paths, self._context.clock.wall_s()
        used = {operation.epoch for operation in await read_operations(context)}
        source_paths = {
            paths.relative(info.path)
            for folder in ("packs/", "pages/", "recipes/")
            async for info in context.store.list(paths.root + folder)
        }
        source_groups = frozenset(await list_epochs(context.store, paths))
        await self._source.groups()
        source_living = await self._source.living(used_epochs=used, now_s=now_s)
        names = self._names[name]
        await names.groups()
        rules = CopyGarbage(
            living=await names.living(used_epochs=(), now_s=now_s),
            deleted=(await read_epochs(store, paths)).deleted,
            source_living=source_living,
            source_groups=source_groups,
            source_paths=frozenset(source_paths),
        )
        listed = [paths.relative(info.path) async for info in store.list(paths.root)]
        return [] if rules.missed(listed) else [path for path in listed if rules.is_garbage(path)]

    def _check_leading(self) -> None:
        if not self._lease.alive():
            raise LeaseLost("the coordinator's lease is over")
