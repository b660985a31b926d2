"""Effects of the agent's undelete machine, on the local peer, the store and etcd."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from itertools import islice
from pathlib import Path

from cleancut.core.format.manifest import ShardEntry
from cleancut.core.points.columns import VectorColumn, vector_columns
from cleancut.core.points.selection import Selection, opened_shards, parse_filter
from cleancut.core.points.undeletion import batches
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Observe
from cleancut.core.undelete.pace import LIMITED
from cleancut.core.undelete.phases import PutBack, Settle, UndeleteDraft
from cleancut.core.undelete.plan import SCRATCH
from cleancut.data.filters import check_filter
from cleancut.data.job import ShardJob
from cleancut.repository.catalog import get_checked, load_group
from cleancut_agent.context import AgentContext
from cleancut_agent.local_peer import observe_names
from cleancut_agent.progress import BytesProgress
from cleancut_agent.session import OpenSession
from cleancut_agent.undelete.shard_run import ShardRun
from cleancut_agent.wait_for_peer import retry_until_reachable

_SCRATCH = "undelete"
_LIMITED_S = 2.0


class AgentUndeleteEffects:
    """Runs one effect at a time; nothing outlives it but a call to Qdrant that is under way."""

    def __init__(self, context: AgentContext, session: OpenSession) -> None:
        self._context, self._session = context, session
        self._between = asyncio.Lock()
        self._settled = Epoch(0)
        self._done_bytes = self._total_bytes = self._points = 0

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Observe():
                return await observe_names(self._context, effect.epoch)
            case PutBack():
                await self._put_back(effect)
                return None
            case Settle():
                async with self._between:
                    self._settled = effect.epoch
                return None
            case _:
                raise AssertionError(f"not an undelete's effect: {effect}")

    async def stop(self, epoch: Epoch) -> None:
        """Nothing is left to end once the effects of `epoch` are cancelled."""

    def moved(self) -> BytesProgress:
        """Of the shards' tars, those whose points are back, and a byte for each point of the one
        that is under way: so it is seen that something moves."""
        return BytesProgress(self._done_bytes + self._points, self._total_bytes)

    async def _put_back(self, effect: PutBack) -> None:
        context = self._context
        path = context.paths.staged(effect.epoch, effect.draft)
        data = await get_checked(context.store, path, effect.draft)
        draft = decode(UndeleteDraft, data, path)
        request = draft.request
        selection = Selection(
            ids=request.ids,
            filter=parse_filter(request.filter) if request.filter else None,
            shard_keys=request.shard_keys,
        )
        if selection.filter is not None:
            check_filter(selection)
        manifest = await load_group(context.store, context.paths, request.backup)
        columns = vector_columns(manifest.collection(request.collection).info)
        parts = {
            shard.shard_id: (shard, part)
            for shard, part in opened_shards(manifest, request.collection, selection)
        }
        self._done_bytes = self._points = 0
        self._total_bytes = sum(task.size_bytes for task in effect.tasks)
        for task in effect.tasks:
            shard, part = parts[task.shard_id]
            run = ShardRun(context, self._session, draft, task)
            clock = context.clock
            if not (await retry_until_reachable(clock, run.load)).done:
                await self._shard(run, shard, part, columns)
            if self._settled == effect.epoch:
                return
            self._done_bytes, self._points = self._done_bytes + task.size_bytes, 0

    async def _shard(
        self,
        run: ShardRun,
        shard: ShardEntry,
        selection: Selection,
        columns: tuple[VectorColumn, ...],
    ) -> None:
        scratch = self._scratch(shard)
        try:
            job = ShardJob(
                "lines",
                str(scratch / "points"),
                selection=selection,
                columns=columns,
                expected=shard.count,
            )
            context = self._context
            line = await context.open_shard(
                context.store, context.paths, shard, job, progress=self._opened
            )
            for part in line.parts or ():
                await self._apply(run, Path(part.path))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _opened(self, points: int) -> None:
        self._points = points

    async def _apply(self, run: ShardRun, path: Path) -> None:
        with path.open("rb") as file:
            for batch in batches(islice(file, run.at.settled, None), run.pace.points):
                if not await self._paced(run, batch):
                    return
                await run.wait_pace()
        await retry_until_reachable(self._context.clock, run.check_same)
        async with self._between:
            if self._settled != run.epoch:
                await run.finish()

    async def _paced(self, run: ShardRun, batch: list[bytes]) -> bool:
        """As `_batch`; sent again as long as Qdrant says that it comes too soon, for which the
        attempt has a bound."""
        again = partial(self._batch, run, batch)
        while True:
            try:
                return await retry_until_reachable(self._context.clock, again)
            except Refused as refused:
                if refused.context.get("status") != LIMITED or not run.pace.per_minute:
                    raise
            await self._context.clock.sleep(_LIMITED_S)

    async def _batch(self, run: ShardRun, batch: list[bytes]) -> bool:
        """False, if no other batch may be sent."""
        async with self._between:
            if self._settled == run.epoch:
                return False
            await run.put_back(batch)
            self._points += len(batch)
            return True

    def _scratch(self, shard: ShardEntry) -> Path:
        """An empty directory with room for the shard. Raises: Refused."""
        context = self._context
        scratch = context.spill_dir / _SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
        needed, free = SCRATCH * shard.size_bytes, context.free_disk_bytes(context.spill_dir)
        free = min(free, context.limits.spill_max_bytes or free)
        if free < needed:
            raise Refused(
                f"{needed:,} bytes are needed in {context.spill_dir} to open shard"
                f" {shard.collection}/{shard.shard_id}, {free:,} may be used",
                "give the agents' spill directory more room, and raise --spill-max",
            )
        try:
            scratch.mkdir(parents=True)
        except OSError as error:
            raise Refused(f"cannot use {scratch}: {error.strerror}", "see --spill-dir") from error
        return scratch
