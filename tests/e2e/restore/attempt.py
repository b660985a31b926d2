"""One attempt of a restore, effect by effect: real peers, everything else in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from msgspec.structs import replace

from cleancut.core.format.manifest import (
    ClusterEntry,
    CollectionEntry,
    Manifest,
    ShardEntry,
    format_of,
)
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.ids import AgentName, ClusterName, Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.documents import Canary
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl, Reading, Session, ShardTask
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import OperationKind, Phase
from cleancut.core.restore.participant import Recover, Verified, Verify
from cleancut.core.restore.phases import CheckRestore, Create, PublishRestore, Review, RollBack
from cleancut.core.restore.plan import CollectionPlan, PlacementPlan
from cleancut.core.restore.report import RestoreDraft, RestoreReport, draft_of
from cleancut.core.verification.canaries import LIMIT, canary_of
from cleancut.ports.coordination import Put
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import Replica
from cleancut.repository.catalog import get_checked, load_group, put_staged
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.shards.capture import capture_shard
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.health import serve
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.context import AgentContext
from cleancut_agent.restore.effects import AgentRestoreEffects
from cleancut_agent.restore.tar_server import TarServer
from cleancut_coordinator.backup.canaries import choose_questions
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.restore.effects import RestoreEffects
from cleancut_devcluster.launch.qdrant import PeerProcess
from tests.support.groups import SOUND

T = TypeVar("T")
BACKUP, EPOCH = Epoch(1), Epoch(2)
POINTS, DIMS = 800, 64
BOUND_S = 120.0
CLUSTER = ClusterName("c")
WHOLE = RestoreRequest(backup=BACKUP)


@dataclass(slots=True)
class Attempt:
    """`peers` run; `contexts` and `pulls` are those of the agents beside them, by peer id.
    `free`: what agents tell, by peer id."""

    runner: asyncio.Runner
    peers: list[PeerProcess]
    spill_dir: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: SystemClock = field(default_factory=SystemClock)
    etcd: MemoryEtcd = field(init=False)
    clients: list[Qdrant] = field(default_factory=list)
    draft: str = ""
    free: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.etcd = MemoryEtcd(self.clock)
        self.clients = [peer.client() for peer in self.peers]

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(BOUND_S):
                return await body

        return self.runner.run(bounded())

    async def close(self) -> None:
        for client in self.clients:
            await client.close()

    @property
    def coordinator(self) -> RestoreEffects:
        return RestoreEffects(self.context)

    @property
    def context(self) -> CoordinatorContext:
        return CoordinatorContext(
            name="coordinator",
            store_url="",
            keys=Keys(CLUSTER),
            paths=Paths(CLUSTER),
            etcd=self.etcd,
            store=self.store,
            peers=tuple(self.clients),
            clock=self.clock,
        )

    # The group

    async def make_group(
        self, name: str, *, aliases: tuple[str, ...] = (), cluster: ClusterName = CLUSTER
    ) -> None:
        """A collection with points in 2 shards, captured as group 1, and deleted again."""
        qdrant = self.clients[0]
        vectors = {"size": DIMS, "distance": "Dot"}
        await qdrant.create_collection(name, {"vectors": vectors, "shard_number": 2})
        await qdrant.create_index(name, "number", "integer")
        await self.upsert(name, range(POINTS))
        await self.capture(name, aliases=aliases, cluster=cluster)
        await qdrant.delete_collection(name)

    async def capture(
        self, name: str, *, aliases: tuple[str, ...] = (), cluster: ClusterName = CLUSTER
    ) -> None:
        """Group 1 of `cluster` holds the collection as it is."""
        qdrant, paths = self.clients[0], Paths(cluster)
        info, placement = await qdrant.collection(name), await qdrant.placement(name)
        shards = [await self._capture(name, replica, paths) for replica in placement.shards]
        entry = CollectionEntry(
            name=name,
            uuid="source",
            info=info,
            shard_ids=tuple(shard.shard_id for shard in shards),
            shard_keys=placement.shard_keys(),
            aliases=aliases,
        )
        manifest = Manifest(
            format=format_of(shards),
            cluster=cluster,
            cluster_id="id",
            epoch=BACKUP,
            operation=OperationId("b-1"),
            created_by="test",
            cut_at="2026-01-01T00:00:00.000Z",
            skew_ms=1,
            collections=(entry,),
            shards=tuple(shards),
            source=ClusterEntry(
                qdrant_version=await qdrant.version(), peers={}, metadata={"app": {"v": 1}}
            ),
            view="",
            canaries=await self._canaries(entry),
        )
        await self.store.put(paths.group(BACKUP), encode(manifest))

    async def _canaries(self, entry: CollectionEntry) -> tuple[Canary, ...]:
        """As a backup reads them, in whatever time it takes."""
        found = []
        for one in await choose_questions(self.context, (entry,)):
            hits = await self.clients[0].nearest(
                one.collection,
                one.target,
                vector_name=one.vector,
                shard_key=one.shard_key,
                limit=LIMIT,
                timeout_s=BOUND_S,
            )
            found.append(canary_of(one, hits))
        return tuple(canary for canary in found if canary is not None)

    async def upsert(self, name: str, ids: range, key: str | int | None = None) -> None:
        seeded = random.Random(5)
        points = [
            {
                "id": number,
                "vector": [seeded.random() for _ in range(DIMS)],
                "payload": {"number": number},
            }
            for number in ids
        ]
        path = f"/collections/{quote(name, safe='')}/points"
        body: dict[str, Any] = {"points": points} | ({} if key is None else {"shard_key": key})
        await self.clients[0]._http.call("PUT", path, body, timeout_s=30.0, query={"wait": "true"})

    async def count(self, name: str) -> int:
        """All points of a collection, each shard asked at the peers that hold it."""
        placement = await self.clients[0].placement(name)
        return sum(
            [
                await (await self.client_of(r.peer_id)).count(name, r.shard_id)
                for r in placement.shards
            ]
        )

    async def _capture(self, name: str, replica: Replica, paths: Paths) -> ShardEntry:
        shard_id, peer_id = replica.shard_id, replica.peer_id
        qdrant = await self.client_of(peer_id)
        count = await qdrant.count(name, shard_id)
        with ThreadPoolExecutor(1) as pool:
            async with PackWriter(
                self.store,
                paths,
                epoch=BACKUP,
                session_id=f"{shard_id:032x}",
                pool=pool,
                spill_dir=self.spill_dir,
            ) as packs:
                async with qdrant.stream_shard(name, shard_id) as chunks:
                    found = await capture_shard(
                        chunks,
                        parent=None,
                        packs=packs,
                        on_cut=lambda: None,
                        hashed=shard_id % 2 == 0,
                    )
                await packs.flush()
        return ShardEntry(
            collection=name,
            shard_id=ShardId(shard_id),
            peer_id=PeerId(peer_id),
            agent="a",
            recipe=found.recipe_digest,
            tar_sha256=found.tar_sha256,
            size_bytes=found.size_bytes,
            new_bytes=0,
            stored_bytes=0,
            first=Reading(number=1, incarnation="s", arrivals=0, state=SOUND),
            second=Reading(number=2, incarnation="s", arrivals=0, state=SOUND),
            drained=True,
            count=count,
            shard_key=replica.shard_key,
        )

    # The attempt

    async def begin(self, phase: Phase = Phase.CREATE, request: RestoreRequest = WHOLE) -> None:
        """Agents are registered, the plan is checked and staged, and ctl stands at `phase`. All
        attempts here have one epoch, so the marks of the one before go."""
        objects = self.store.objects
        self.store.objects = {path: objects[path] for path in objects if "/marks/" not in path}
        check = CheckRestore(EPOCH, request, await self._register())
        self.draft = str(await self.coordinator.run(check))
        await self.move(phase)

    async def begin_as(self, *planned: CollectionPlan, phase: Phase = Phase.CREATE) -> None:
        """As `begin`, with a plan made by hand; without any, all comes back as it was."""
        await self._register()
        group = await load_group(self.store, Paths(CLUSTER), BACKUP)
        planned = planned or tuple(as_itself(entry) for entry in group.collections)
        plan = PlacementPlan(
            backup_id=group.operation,
            backup_epoch=BACKUP,
            collections=planned,
            peers=(),
            source_version="",
            target_version="",
        )
        draft = draft_of(
            group, plan, EPOCH, OperationId("r-1"), request=RestoreRequest(group.epoch)
        )
        self.draft = await put_staged(self.store, Paths(CLUSTER), EPOCH, draft)
        await self.move(phase)

    async def _register(self) -> tuple[tuple[AgentName, int], ...]:
        """An agent with a session beside each peer, with much free space."""
        keys, members = Keys(CLUSTER), []
        for client in self.clients:
            cluster = await client.cluster()
            name = AgentName(f"agent-{cluster.peer_id}")
            session = Session(
                name=name,
                version="1",
                peer_id=PeerId(cluster.peer_id),
                qdrant_version=await client.version(),
            )
            await self.etcd.txn([], [Put(keys.session(name), encode(session))])
            members.append((name, 10**12))
        return tuple(members)

    async def move(self, phase: Phase) -> None:
        ctl = Ctl(kind=OperationKind.RESTORE, epoch=EPOCH, phase=phase, draft=self.draft)
        await self.etcd.txn([], [Put(Keys(CLUSTER).ctl, encode(ctl))])

    async def create(self) -> list[ShardTask]:
        """The tasks of all agents."""
        peers = [(await client.cluster()).peer_id for client in self.clients]
        members = tuple((AgentName(f"agent-{peer}"), self.free.get(peer, -1)) for peer in peers)
        tasks: Any = await self.coordinator.run(Create(EPOCH, self.draft, members))
        return [task for given in tasks.values() for task in given]

    async def recover(self, tasks: list[ShardTask], *, empty: bool = True) -> None:
        """Each task at the agent beside its peer, one after the other."""
        for task in tasks:
            await self.as_agent(task.peer_id, Recover(EPOCH, (task,), empty=empty))

    async def make_strict(self) -> None:
        """The attempt, as if it had been asked for with --strict."""
        await self.change_draft(strict=True)

    async def read_draft(self) -> RestoreDraft:
        path = Paths(CLUSTER).staged(EPOCH, self.draft)
        return decode(RestoreDraft, await self.store.get(path), path)

    async def change_draft(self, **changes: Any) -> None:
        """Another draft is staged, which the next effects are of."""
        draft = replace(await self.read_draft(), **changes)
        self.draft = await put_staged(self.store, Paths(CLUSTER), EPOCH, draft)

    async def review(self, tasks: list[ShardTask]) -> RestoreReport:
        """The report, after each task was verified by the agent beside its peer."""
        documents = []
        for peer_id in sorted({task.peer_id for task in tasks}):
            mine = tuple(task for task in tasks if task.peer_id == peer_id)
            verified: Verified = await self.as_agent(peer_id, Verify(EPOCH, mine, "t"))
            documents.append((AgentName(f"agent-{peer_id}"), verified.document))
        sha256: Any = await self.coordinator.run(Review(EPOCH, self.draft, tuple(documents)))
        path = Paths(CLUSTER).staged(EPOCH, sha256)
        return decode(RestoreReport, await get_checked(self.store, path, sha256), path)

    async def as_agent(self, peer_id: int, effect: Any) -> Any:
        """Runs an agent's effect beside this peer."""
        tars = TarServer(self.store, Paths(CLUSTER))
        async with serve(tars.app(), "127.0.0.1", 0) as port:
            context = AgentContext(
                name=AgentName(f"agent-{peer_id}"),
                keys=Keys(CLUSTER),
                paths=Paths(CLUSTER),
                etcd=self.etcd,
                store=self.store,
                qdrant=await self.client_of(peer_id),
                clock=self.clock,
                spill_dir=self.spill_dir,
                loopback=f"http://127.0.0.1:{port}",
            )
            return await AgentRestoreEffects(context, tars).run(effect)

    async def client_of(self, peer_id: int) -> Qdrant:
        if len(self.clients) == 1:
            return self.clients[0]  # without cluster mode its id is made up
        for client in self.clients:
            if (await client.cluster()).peer_id == peer_id:
                return client
        raise AssertionError(f"no peer {peer_id}")

    async def undo(self) -> None:
        await self.move(Phase.ROLLBACK)
        await self.coordinator.run(RollBack(EPOCH, self.draft))

    async def reveal(self) -> None:
        await self.move(Phase.PUBLISH)
        await self.reveal_now()

    async def reveal_now(self) -> None:
        """Whatever phase ctl stands at, and as if what is overwritten had just been read."""
        now_s = self.context.clock.monotonic_s()
        await self.coordinator.run(PublishRestore(EPOCH, self.draft, now_s))


def as_itself(entry: CollectionEntry) -> CollectionPlan:
    """The plan to bring back a collection under its own name."""
    return CollectionPlan(
        name=entry.name,
        published_as=entry.name,
        created_as=entry.name,
        action="create",
        shards=len(entry.shard_ids),
        replicas=1,
        size_bytes=1,
        aliases=entry.aliases,
        shard_ids=entry.shard_ids,
    )
