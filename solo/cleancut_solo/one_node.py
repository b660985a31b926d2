"""One node: a Qdrant of several peers is refused, since only one of them would be backed up."""

from __future__ import annotations

import asyncio

from cleancut.core.primitives.errors import CleancutError, Refused
from cleancut.qdrant.client import Qdrant
from cleancut.runtime.log import Logger

EVERY_S = 60.0
_ASK_S = 5.0
GUIDE = "docs/how-to/grow-to-a-cluster.md"


class OneNode:
    """The Qdrant at `qdrant`. `watch` looks again, since nodes may join it later."""

    def __init__(self, qdrant: Qdrant, log: Logger) -> None:
        self._qdrant, self._log = qdrant, log
        self._was_one = self._grown = False

    async def check(self) -> None:
        """Raises: Refused, if it has several peers. One that does not answer is looked at later."""
        try:
            cluster = await self._qdrant.cluster(_ASK_S)
        except CleancutError as error:
            if not self._was_one:
                self._log.warning("Qdrant does not answer yet", cause=str(error))
            return
        if len(cluster.peers) > 1:
            raise Refused(
                f"Qdrant at {self._qdrant.url} is a cluster of {len(cluster.peers)} peers, and"
                " `cleancut solo` backs up one node",
                "run etcd, cleancut-coordinator, and cleancut-agent next to each peer instead:"
                f" {GUIDE}",
            )
        self._was_one = True

    async def watch(self) -> None:
        """Looks each minute. Raises: Refused, if it was a cluster from the start; one that grew is
        an error in the log, and backups are refused for want of agents."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.check()
            except Refused as error:
                if not self._was_one:
                    raise
                if not self._grown:
                    self._log.error("Qdrant has grown", cause=error.message, hint=error.hint)
                self._grown = True
