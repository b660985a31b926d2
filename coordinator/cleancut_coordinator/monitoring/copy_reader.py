"""Reads the copies in other stores for the metrics: each catalog now and then."""

from __future__ import annotations

from cleancut.core.maintenance.inventory import Inventory
from cleancut.core.maintenance.schedule import Do, Schedules
from cleancut.core.maintenance.stores import expected_age_s
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.timestamps import parse_time
from cleancut.repository.catalog_reader import CatalogReader
from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.maintenance.scheduler import read_state
from cleancut_coordinator.metrics.copy_metrics import CopySeen
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from cleancut_coordinator.schedules import read_schedules

COPIES_S = 60.0


class CopyReader:
    """One a process."""

    def __init__(
        self, context: CoordinatorContext, metrics: CoordinatorMetrics, log: Logger
    ) -> None:
        self._context, self._metrics, self._log = context, metrics, log
        self._seen: dict[str, CopySeen] = {}
        self._stocks = {
            name: CatalogReader(one.store, context.paths) for name, one in context.stores.items()
        }

    async def run(self) -> None:
        """Never returns while there are stores to read."""
        while self._context.stores:
            await self.read()
            await self._context.clock.sleep(COPIES_S)

    async def read(self) -> None:
        """Shows each copy; the last values stay of one that cannot be read."""
        try:
            schedules = await read_schedules(self._context)
        except CleancutError as error:
            self._log.warning("copies unread", cause=error.message)
            return
        for name in self._context.stores:
            expected_s = expected_age_s(schedules, name)
            before = self._seen.get(name, CopySeen())._replace(expected_s=expected_s)
            self._seen[name] = before
            try:
                self._seen[name] = before._replace(since_s=await self._since_s(name, schedules))
                stock, _ = await self._stocks[name].read()
            except CleancutError as error:
                self._log.warning("copy unread", store=name, cause=error.message)
                continue
            self._seen[name] = self._seen[name]._replace(
                read_s=self._context.clock.wall_s(),
                newest_s=_newest_s(stock),
                good=stock.good,
                corrupt=stock.corrupt,
            )
        self._metrics.show_copies(self._seen)

    async def _since_s(self, store: str, schedules: Schedules) -> float | None:
        found = []
        for name, schedule in schedules.items():
            if schedule.do is Do.COPY and schedule.to == store:
                state = await read_state(self._context, name)
                found += [parse_time(state.since)] if state and state.since else []
        return min(found, default=None)


def _newest_s(stock: Inventory) -> float | None:
    return max((one.group.cut_at_s for one in stock.schedules.values()), default=None)
