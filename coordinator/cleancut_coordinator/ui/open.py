"""Opening of the status page: its memory, its site and its listener for the length of a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cleancut.runtime.log import Logger
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.ui.listen import PageListen
from cleancut_coordinator.ui.memory import PageMemory
from cleancut_coordinator.ui.server import PageServer, serve_page
from cleancut_coordinator.ui.site import Site
from cleancut_coordinator.ui.source import Source


@asynccontextmanager
async def open_status_page(
    context: CoordinatorContext, source: Source, listen: PageListen, log: Logger
) -> AsyncIterator[str]:
    """Gives the address, with the port that it got. Raises: as `serve_page`."""
    memory = PageMemory(source, context.paths.cluster, context.clock, log)
    server = PageServer(Site(source, memory), memory, listen, context.name)
    async with serve_page(server, listen) as address, asyncio.TaskGroup() as group:
        reading = group.create_task(memory.run())
        try:
            yield address
        finally:
            reading.cancel()
