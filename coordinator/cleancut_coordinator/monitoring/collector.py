"""Keeps the gauges: read from etcd and the store again and again, by leader and standby alike, so
that no restart and no change of leaders loses them."""

from __future__ import annotations

import asyncio

from cleancut.core.doctor.protection import unknown_protection
from cleancut.core.maintenance.schedule import Schedules, max_age_s, worst_gap_s
from cleancut.core.primitives.errors import CleancutError
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.maintenance.notifier import read_outboxes
from cleancut_coordinator.maintenance.protection import judge_now, read_live
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from cleancut_coordinator.monitoring.cluster_reader import read_cluster
from cleancut_coordinator.monitoring.copy_reader import CopyReader
from cleancut_coordinator.schedules import read_schedules

CLUSTER_S = 5.0
CATALOG_S = 30.0
SIZE_SHARE = 0.01
"""Of the time, at most, that is spent on listing the whole store."""


class MetricsCollector:
    """One a process."""

    def __init__(
        self, context: CoordinatorContext, metrics: CoordinatorMetrics, log: Logger
    ) -> None:
        self._context, self._metrics, self._log = context, metrics, log
        self._attempt: tuple[int, bool] | None = None
        self._stale = asyncio.Event()
        self._size_at_s = 0.0

    async def run(self) -> None:
        """Never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_cluster())
            group.create_task(self._watch_catalog())
            group.create_task(CopyReader(self._context, self._metrics, self._log).run())

    async def _watch_cluster(self) -> None:
        known = True
        while True:
            try:
                seen = await read_cluster(self._context)
                schedules = await read_schedules(self._context)
                outboxes = await read_outboxes(self._context)
            except CleancutError as error:
                told = self._log.warning if known else self._log.debug
                told("cluster unread", reason=error.reason, cause=error.message)
                known = False
                self._metrics.show_cluster(None)
                self._metrics.notified.show({})
            else:
                known = True
                self._metrics.show_cluster(seen)
                self._show_rules(schedules)
                self._metrics.notified.show(outboxes)
                if seen.attempt != self._attempt:
                    self._attempt = seen.attempt
                    self._stale.set()
            await self._context.clock.sleep(CLUSTER_S)

    def _show_rules(self, schedules: Schedules) -> None:
        """The limits of all schedules, as they are defined now."""
        rules = {(name, one.do.value): one for name, one in schedules.items()}
        gaps = {key: worst_gap_s(one) for key, one in rules.items()}
        self._metrics.set_intervals(gaps, self._context.gc.every_s)
        self._metrics.set_max_ages({key: max_age_s(one) for key, one in rules.items()})

    async def _watch_catalog(self) -> None:
        """Soon after each attempt, and now and then."""
        while True:
            self._stale.clear()
            try:
                await self._read_catalog()
            except CleancutError as error:
                self._log.warning("catalog unread", reason=error.reason, cause=error.message)
                self._metrics.show_protection(unknown_protection(error.message))
            try:
                async with asyncio.timeout(CATALOG_S):
                    await self._stale.wait()
            except TimeoutError:
                continue

    async def _read_catalog(self) -> None:
        """The last values stay while the store is unreachable; the time of the read is shown."""
        clock, began_s = self._context.clock, self._context.clock.wall_s()
        stock, proven = await self._context.catalog.read()
        self._metrics.show_catalog(stock, proven, began_s)
        if self._context.archive.collections:
            bases = await self._context.bases.read()
            self._metrics.set_archive_bases(frozenset(base.chain for base in bases))
        live = await read_live(self._context)
        if live is None:
            self._metrics.show_collections(None)
        else:
            cuts = {name: stock.collections.get(name) for name in live.collections}
            self._metrics.show_collections(cuts)
        self._metrics.show_protection(await judge_now(self._context, live))
        if clock.monotonic_s() >= self._size_at_s:
            listed_s = clock.monotonic_s()
            self._metrics.show_store_size(await self._context.catalog.size_bytes())
            now_s = clock.monotonic_s()
            self._size_at_s = now_s + (now_s - listed_s) / SIZE_SHARE
