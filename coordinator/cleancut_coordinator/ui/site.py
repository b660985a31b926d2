"""Site: which view answers which request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from cleancut.api.backups import Backup
from cleancut.core.format.timeline import Timeline
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.states import FINAL_STATES
from cleancut.page import routes, views
from cleancut.page.routes import Page
from cleancut.page.seen import Seen
from cleancut.page.views import Placement, View
from cleancut_coordinator.ui.memory import PageMemory
from cleancut_coordinator.ui.source import Source

_PLACEMENT_S = 6.0
_PLAIN: Mapping[Page, Callable[[Seen], View]] = {
    routes.NOW: views.now,
    routes.RESTORES: views.restores,
    routes.REBALANCES: views.rebalances,
    routes.RESHARDS: views.reshards,
    routes.UNDELETES: views.undeletes,
    routes.VERIFICATION: views.verification,
    routes.GROWTH: views.growth,
}
"""Pages that need nothing but what is in memory."""


class Site:
    """The pages of one coordinator."""

    def __init__(self, source: Source, memory: PageMemory) -> None:
        self._source, self._memory = source, memory

    async def view(self, page: Page, request: web.Request) -> View:
        """Raises: NotFound, for what does not exist."""
        seen = await self._memory.fresh()
        if page in _PLAIN:
            return _PLAIN[page](seen)
        if page is routes.BACKUPS:
            return views.backups(seen, views.query_of(request.query), seen.at_s)
        if page is routes.CLUSTER:
            return views.cluster(seen, await self._placement())
        if page is routes.AUDIT:
            return views.audit(seen, await self._source.audit())
        assert page is routes.BACKUP, page
        one = await self._source.backup(_named(request))
        return views.backup(seen, one, await self._timeline(seen, one))

    async def manifest(self, request: web.Request) -> tuple[Epoch, bytes]:
        """As `Source.manifest`."""
        return await self._source.manifest(_named(request))

    async def _timeline(self, seen: Seen, one: Backup) -> Timeline:
        """An empty one, if nothing is known: an older version recorded none."""
        known = seen.timelines.get(one.id)
        if known is not None or one.state not in FINAL_STATES:
            return known or Timeline()
        try:
            return await self._source.timeline(one)
        except CleancutError:
            return Timeline()

    async def _placement(self) -> Placement | None:
        """None while Qdrant does not say: the page shows the rest."""
        try:
            async with asyncio.timeout(_PLACEMENT_S):
                return await self._source.placement()
        except (CleancutError, TimeoutError):
            return None


def _named(request: web.Request) -> str:
    """The backup that a path names."""
    return request.match_info["name"].removeprefix("#")
