"""Effects of the agent's backup machine in a seed: shards are read and stored, some at a time."""

from __future__ import annotations

from concurrent.futures import Executor

from cleancut.core.backup.participant import Load, SeedShards
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Observe
from cleancut.core.protocol.etcd_records import Seeded, ShardTask
from cleancut.runtime.log import Logger
from cleancut_agent.backup.captures import Captures
from cleancut_agent.backup.effects import AgentBackupEffects
from cleancut_agent.backup.parents import Parents
from cleancut_agent.context import AgentContext
from cleancut_agent.progress import BytesProgress


class AgentSeedEffects:
    """PREPARE is that of `backups`; what follows needs nothing that was kept since then."""

    def __init__(
        self, context: AgentContext, pool: Executor, backups: AgentBackupEffects, *, log: Logger
    ) -> None:
        self._context, self._pool, self._backups = context, pool, backups
        self._log = log
        self._running: Captures | None = None

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Observe():
                return await self._backups.run(effect)
            case Load():
                await self._backups.check_loaded(effect)
                self._backups.warm(effect)
                return None
            case SeedShards():
                return await self._store_shards(effect)
            case _:
                raise AssertionError(f"not a seed's effect: {effect}")

    async def stop(self, epoch: Epoch) -> None:
        """Its captures have ended with the effect that ran them."""
        await self._backups.stop(epoch)

    def moved(self) -> BytesProgress:
        return self._running.moved() if self._running is not None else BytesProgress(0)

    async def _store_shards(self, effect: SeedShards) -> Seeded:
        """Of what was left by earlier epochs the least known comes first: if this one is broken off
        as well, the next goes on from there."""
        parents = Parents(self._context)
        await parents.load(effect.tasks)
        captures = Captures(
            self._context,
            effect.epoch,
            self._context.token_hex(16),
            self._pool,
            unknown=parents.avoided,
            startup=await self._backups.startup(),
            on_stream=lambda task, reading: self._report_stream(effect.epoch, task, reading),
        )
        streams = sorted(
            (parents.stream_of(task) for task in effect.tasks), key=lambda one: one.known_blocks
        )
        self._running = captures
        try:
            await captures.run(streams, effect.streams)
            stored = await captures.wait_stored()
        finally:
            self._running = None
        return Seeded(
            shards=len(stored),
            read_bytes=sum(one.shard.size_bytes for one in stored),
            new_bytes=sum(one.shard.new_bytes for one in stored),
            stored_bytes=sum(one.shard.stored_bytes for one in stored),
        )

    def _report_stream(self, epoch: Epoch, task: ShardTask, reading: int) -> None:
        """A seed may take days: which shards it has read is in the log."""
        name, shard = task.collection, task.shard_id
        self._log.info("stream", epoch=epoch, collection=name, shard=shard, reading=reading)
