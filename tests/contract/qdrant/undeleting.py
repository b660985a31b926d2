"""An agent that puts points of a backup back, with a client or an end in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import (
    AgentName,
    ClusterName,
    Epoch,
    FencingToken,
    OperationId,
    PeerId,
    ShardId,
)
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Session, ShardTask
from cleancut.core.protocol.requests import UndeleteRequest
from cleancut.core.undelete.pace import pace_of
from cleancut.core.undelete.phases import PutBack, ShardProgress, UndeleteDraft
from cleancut.core.undelete.plan import PlannedShard, UndeletePlan
from cleancut.ports.coordination import Lease, Put
from cleancut.ports.store import Store
from cleancut.qdrant.client import Qdrant
from cleancut.repository.catalog import put_staged
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut_agent.context import AgentContext
from cleancut_agent.session import OpenSession
from cleancut_agent.undelete.effects import AgentUndeleteEffects
from tests.support.capturing import PATHS

Hook = Callable[[], Awaitable[None]]
AGENT, EPOCH = AgentName("a"), Epoch(9)


class Hooked:
    """The point calls of `qdrant`, with something before or after its first write."""

    def __init__(self, qdrant: Qdrant, before: Hook | None, after: Hook | None) -> None:
        self._points, self._hooks = qdrant.points, [before, after]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._points, name)

    async def upsert(self, name: str, points: Sequence[dict[str, Any]], **more: Any) -> None:
        before, after = self._hooks
        self._hooks = [None, None]
        if before is not None:
            await before()
        await self._points.upsert(name, points, **more)
        if after is not None:
            await after()


class Undeleting:
    """One undelete of `manifest`'s only collection into `live`, whose agent may end and come
    again."""

    def __init__(self, store: Store, manifest: Manifest, url: str, scratch: Path) -> None:
        self._store, self._manifest, self._url = store, manifest, url
        self._scratch = scratch
        self.etcd = MemoryEtcd(SystemClock())

    async def run(
        self,
        request: UndeleteRequest,
        before: Hook | None = None,
        after: Hook | None = None,
    ) -> ShardProgress:
        """All shards, added up."""
        operation = OperationId(f"u-{request.overwrite}-{request.count_only}-{request.ids}")
        shards = tuple(
            PlannedShard(shard_id=ShardId(one.shard_id), size_bytes=one.size_bytes)
            for one in self._manifest.shards
        )
        async with Qdrant(self._url) as qdrant, self.etcd.lease(60.0) as lease:
            plan = UndeletePlan(
                backup=request.backup,
                collection=request.collection,
                into=request.into,
                shards=shards,
                target=request.into,
                pace=pace_of(await qdrant.collection(request.into)),
            )
            draft = UndeleteDraft(epoch=EPOCH, operation=operation, request=request, plan=plan)
            staged = await put_staged(self._store, PATHS, EPOCH, draft)
            qdrant.points = Hooked(qdrant, before, after)  # type: ignore[assignment]
            effects = AgentUndeleteEffects(self._context(qdrant), await self._session(lease))
            tasks = tuple(
                ShardTask(
                    collection=request.collection,
                    shard_id=one.shard_id,
                    peer_id=PeerId(1),
                    size_bytes=one.size_bytes,
                )
                for one in shards
            )
            await effects.run(PutBack(EPOCH, staged, tasks))
        return await self._sum(operation)

    def _context(self, qdrant: Qdrant) -> AgentContext:
        return AgentContext(
            name=AGENT,
            keys=Keys(ClusterName("prod")),
            paths=PATHS,
            etcd=self.etcd,
            store=self._store,
            qdrant=qdrant,
            clock=SystemClock(),
            spill_dir=self._scratch,
            loopback="",
        )

    async def _session(self, lease: Lease) -> OpenSession:
        key = Keys(ClusterName("prod")).session(AGENT)
        put = await self.etcd.txn([], [Put(key, b"{}", lease=lease.id)])
        return OpenSession(FencingToken(put.revision), lease, Session(name=AGENT, version="1"), 0.0)

    async def _sum(self, operation: OperationId) -> ShardProgress:
        listing = await self.etcd.list(Keys(ClusterName("prod")).undelete(operation))
        total = ShardProgress(shard_id=ShardId(0), done=True)
        for item in listing.items:
            one = decode(ShardProgress, item.value, item.key)
            total = replace(
                total,
                settled=total.settled + one.settled,
                missing=total.missing + one.missing,
                differing=total.differing + one.differing,
                restored=total.restored + one.restored,
                absent=total.absent + one.absent,
                sending=total.sending + one.sending,
                done=total.done and one.done,
            )
        return total
