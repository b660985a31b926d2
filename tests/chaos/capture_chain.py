"""One shard's captures by the agent's own `Captures`, each the parent of the next, without the
rest of an agent."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import AgentName, ClusterName, Epoch, PeerId, ShardId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.repository.shards.tar_assembler import read_tar
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.concurrency import run_in_thread
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.backup.captures import Captures, Stored, Stream
from cleancut_agent.capture.local_capture import LocalCapture
from cleancut_agent.context import AgentContext
from cleancut_devcluster.launch.qdrant import PeerProcess

PREPARE_S = 0.3
"""Between the first write-back and the cut; in a backup it is more."""
CAPTURE_S = 120.0


class Chain:
    """One shard's captures, each the parent of the next, until `restart`. `ahead_ns`: of the
    agent's clock, so that younger files count as settled."""

    def __init__(
        self, peer: PeerProcess, collection: str, directory: Path, ahead_ns: int = 0
    ) -> None:
        self._collection, self._ahead_ns = collection, ahead_ns
        self._peer, self._qdrant, self._directory = peer, peer.client(), directory
        self._number, self._chains = 0, 0
        self._pool = ThreadPoolExecutor(2)
        self.restart()

    def _now_ns(self) -> int:
        return time.time_ns() + self._ahead_ns

    async def close(self) -> None:
        self._pool.shutdown()
        await self._qdrant.close()

    def restart(self) -> None:
        """The next capture has no parent, and no store keeps what came before."""
        self._chains += 1
        spill = self._directory / f"spill-{self._chains}"
        spill.mkdir()
        cluster = ClusterName("torn")
        clock = SystemClock()
        self.context = AgentContext(
            name=AgentName("a"),
            keys=Keys(cluster),
            paths=Paths(cluster),
            etcd=MemoryEtcd(clock),
            store=MemoryStore(),
            qdrant=self._qdrant,
            clock=clock,
            spill_dir=spill,
            loopback="",
            capture=LocalCapture(self._peer.storage, spill, now_ns=self._now_ns),
        )
        self.recipe = ""

    async def capture(self) -> tuple[Stored, float, float]:
        """What is stored, and two moments between which the cut was. Raises: CleancutError."""
        self._number += 1
        startup = (await self._qdrant.telemetry()).startup
        task = ShardTask(self._collection, ShardId(0), PeerId(1), recipe=self.recipe)
        context = self.context
        parent = None
        if self.recipe:
            parent = await load_recipe(context.store, context.paths, self.recipe)
        assert context.capture is not None
        await run_in_thread(partial(context.capture.warm, [task]))
        await context.clock.sleep(PREPARE_S)
        captures = Captures(
            context,
            Epoch(self._number),
            context.token_hex(16),
            self._pool,
            startup=startup,
        )
        since_s = time.monotonic()
        async with asyncio.timeout(CAPTURE_S), asyncio.TaskGroup() as group:
            group.create_task(captures.run([Stream(task, parent, None)]))
            try:
                await captures.wait_cut()
                until_s = time.monotonic()
                (stored,) = await captures.wait_stored()
            except CleancutError as error:
                caught = error
            else:
                self.recipe = stored.shard.recipe_digest
                return stored, since_s, until_s
        raise caught

    async def write_tar(self, target: Path) -> None:
        """The newest capture's."""
        with target.open("wb") as file:
            async for chunk in read_tar(self.context.store, self.context.paths, self.recipe):
                file.write(chunk)
