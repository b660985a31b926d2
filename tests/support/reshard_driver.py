"""A resharding driven by one peer's calls, step by step, and what a collection holds meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from cleancut.core.cluster.hash_ring import HashRing
from cleancut.core.cluster.resharding import Direction, ReshardingState
from cleancut.core.cluster.ring_counts import ReplicaCount
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import Placement, ShardKey
from cleancut_agent.reshard.ring_counts import count_by_rings
from cleancut_devcluster.launch.qdrant import wait_until

MOVED_S = 30.0


class ReshardDriver:
    """One collection; `clients`: of all peers, the first of them drives."""

    def __init__(self, clients: Sequence[Qdrant], name: str, key: ShardKey = None) -> None:
        self.clients = clients
        self.qdrant = clients[0]
        self.calls = self.qdrant.resharding
        self.name, self.key = name, key

    async def placement(self) -> Placement:
        return await self.qdrant.placement(self.name)

    async def by_peer(self) -> dict[int, Qdrant]:
        return {(await one.cluster()).peer_id: one for one in self.clients}

    async def replicas(self) -> dict[int, list[int]]:
        """The peers of each shard of the key, sorted."""
        found: dict[int, list[int]] = {}
        for one in (await self.placement()).shards:
            if one.shard_key == self.key and type(one.shard_key) is type(self.key):
                found.setdefault(one.shard_id, []).append(one.peer_id)
        return dict(sorted(found.items()))

    async def start(self, direction: Direction) -> ReshardingState:
        await self.calls.start(self.name, direction, shard_key=self.key)
        (state,) = (await self.placement()).resharding
        await self.seen(running=True)
        return state

    async def seen(self, *, running: bool) -> None:
        """Every peer knows."""

        async def seen() -> bool:
            placements = [await one.placement(self.name) for one in self.clients]
            return all(bool(one.resharding) == running for one in placements)

        await wait_until(seen, MOVED_S, f"resharding of {self.name} is seen: {running}")

    async def stream(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        """Shape: (shard, peer). All points have arrived."""
        await self.calls.stream_points(
            self.name, source[0], target[0], from_peer=source[1], to_peer=target[1]
        )
        await self.still()

    async def still(self) -> None:
        async def still() -> bool:
            return not (await self.placement()).transfers

        await wait_until(still, MOVED_S, f"no transfer of {self.name} is under way")

    async def migrate(self, state: ReshardingState, *, every: bool = True) -> None:
        """All points are where the new ring wants them; unless `every`, on the way down in one
        replica of each shard only."""
        replicas = await self.replicas()
        coming_or_going = state.shard_id
        others = {n: peers for n, peers in replicas.items() if n != coming_or_going}
        for number, peers in others.items():
            if state.direction is Direction.UP:
                await self.stream((number, peers[0]), (coming_or_going, state.peer_id))
                continue
            for peer in peers if every else peers[:1]:
                await self.stream((coming_or_going, state.peer_id), (number, peer))
        if state.direction is Direction.UP:
            await self.calls.migration_finished(self.name, coming_or_going, state.peer_id)
            wanted = max(len(peers) for peers in others.values())
            spare = [p for p in await self.by_peer() if p != state.peer_id][: wanted - 1]
            for peer in spare:
                await self.qdrant.replicate_shard(
                    self.name, coming_or_going, source=state.peer_id, target=peer
                )
                await self.still()

    async def commit(self, state: ReshardingState) -> None:
        """Reads and writes go by the new ring, and nothing else is left."""
        if state.direction is Direction.DOWN:
            for one in (await self.placement()).shards:
                if one.state == "ReshardingScaleDown":
                    await self.calls.migration_finished(self.name, one.shard_id, one.peer_id)
        await self.calls.commit_read_ring(self.name)
        await self.calls.commit_write_ring(self.name)
        if state.direction is Direction.UP:
            by_peer = await self.by_peer()
            for number, peers in (await self.replicas()).items():
                for peer in peers if number != state.shard_id else ():
                    await by_peer[peer].resharding.cleanup(self.name, number)
        await self.calls.finish(self.name)
        await self.seen(running=False)

    async def step(self, direction: Direction) -> None:
        state = await self.start(direction)
        await self.migrate(state)
        await self.commit(state)

    async def counts(self, old: Sequence[int], new: Sequence[int]) -> list[ReplicaCount]:
        """Each replica, counted at its own peer."""
        by_peer, rings = await self.by_peer(), (HashRing(old), HashRing(new))
        return [
            await count_by_rings(by_peer[peer], (self.name, ShardId(number), PeerId(peer)), *rings)
            for number, peers in (await self.replicas()).items()
            for peer in peers
        ]
