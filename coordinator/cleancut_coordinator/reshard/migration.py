"""Carries out one step of a reshard on a live cluster, up to and from the commit of its rings.

What is under way is read from Qdrant, which knows a resharding by its uuid. It does not say which
streams are done, so a new leader repeats them: a stream sends what its source holds now.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from cleancut.core.cluster.resharding import (
    RECEIVES,
    RECEIVES_AND_SERVES,
    Direction,
    ReshardingState,
)
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.errors import Invalid, NotFound, TimedOut, Unavailable
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.states import Phase
from cleancut.core.reshard.phases import STEP_ALIASES, ReshardDraft, step_alias
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import Placement
from cleancut_coordinator.any_peer import first_peer
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import check_phase

_POLL_S = 0.25
_STREAM_S = 600.0
_BYTES_PER_S = 1e6
_APPLIED_S = 30.0
_COPY = "stream_records"
"""How a replica of the new shard is made: from points, so that it may be written to meanwhile."""
_SERVING = (ACTIVE, RECEIVES_AND_SERVES)
_BOUND = Phase.COMMIT, Phase.CLEAN


def uuid_of(operation: OperationId, epoch: Epoch) -> str:
    """The name of the resharding that this attempt starts."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"cleancut:{operation}/{epoch}"))


class CollectionGone(NotFound):
    """The collection was deleted meanwhile, so nothing of the step is left."""


@dataclass(slots=True)
class StepMigration:
    """One attempt at one step. Each call may be repeated.

    What would harm another step is asked for by this step's alias of the collection, which is there
    only while the step is under way: a leader that was suspended finds nothing by it.

    Raises: TimedOut, if Qdrant gave the step up, or takes too long; Unavailable, Fenced.
    """

    context: CoordinatorContext
    draft: ReshardDraft
    _begun: bool = False
    _streamed: set[tuple[ShardId, ShardId, PeerId]] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.draft.plan.collection

    @property
    def epoch(self) -> Epoch:
        return self.draft.epoch

    @property
    def uuid(self) -> str:
        return uuid_of(self.draft.operation, self.epoch)

    # Before the commits

    async def move(self) -> None:
        """Every replica that is to serve has got its points."""
        peer = await first_peer(self.context.peers)
        await self._begin(peer)
        await self._quiet(peer)
        if self.draft.step.direction is Direction.UP:
            await self._fill_new(peer)
        else:
            await self._empty_last(peer)
        await self._applied(peer)

    async def _begin(self, peer: Qdrant) -> None:
        if self._mine(await self._same(peer)):
            self._begun = True
            return
        if self._begun:
            raise TimedOut(
                f"Qdrant gave up the resharding of {self.name!r}: a transfer of it failed",
                "see the logs of the peers",
            )
        step = self.draft.step
        await self._name_step(peer, Phase.MOVE)
        await check_phase(self.context, self.epoch, Phase.MOVE)
        await peer.resharding.start(
            self._alias,
            step.direction,
            shard_key=self.draft.plan.shard_key,
            peer_id=step.peers[0],
            uuid=self.uuid,
        )
        await self._applied(peer)

    async def _fill_new(self, peer: Qdrant) -> None:
        """Up: one replica gets the points of all old shards, the others are copies of it."""
        step = self.draft.step
        first, *others = step.peers
        if await self._state(peer, step.shard_id, first) != ACTIVE:
            for shard in step.old:
                await self._stream(peer, shard, step.shard_id, first)
            await self._serve(peer, step.shard_id, first)
        for other in others:
            await self._copy(peer, first, other)

    async def _empty_last(self, peer: Qdrant) -> None:
        """Down: every replica of every shard that stays gets a stream of its own."""
        step = self.draft.step
        placement = await peer.placement(self.name)
        targets = [
            (ShardId(one.shard_id), PeerId(one.peer_id))
            for one in placement.shards
            if one.shard_id in step.new
        ]
        for shard, at in targets:
            await self._stream(peer, step.shard_id, shard, at)
        for shard, at in targets:
            await self._serve(peer, shard, at)

    async def _stream(self, peer: Qdrant, source: ShardId, target: ShardId, at: PeerId) -> None:
        if (source, target, at) in self._streamed:
            return
        placement = await self._quiet(peer)
        holders = [one for one in placement.shards if one.shard_id == source]
        holders.sort(key=lambda one: (one.peer_id != at, one.peer_id))
        serving = [PeerId(one.peer_id) for one in holders if one.state in _SERVING]
        if not serving:
            raise Unavailable(
                f"no replica of shard {source} of {self.name!r} is {ACTIVE}", "see its peers"
            )
        await check_phase(self.context, self.epoch, Phase.MOVE)
        await peer.resharding.stream_points(
            self.name, source, target, from_peer=serving[0], to_peer=at
        )
        await self._quiet(peer)
        self._streamed.add((source, target, at))

    async def _serve(self, peer: Qdrant, shard: ShardId, at: PeerId) -> None:
        """The replica at `at` is Active, and no further stream to it is to come."""
        if await self._state(peer, shard, at) in {RECEIVES, RECEIVES_AND_SERVES}:
            await check_phase(self.context, self.epoch, Phase.MOVE)
            await peer.resharding.migration_finished(self.name, shard, at)
        await self._wait_active(peer, shard, at)

    async def _copy(self, peer: Qdrant, source: PeerId, at: PeerId) -> None:
        shard = self.draft.step.shard_id
        if await self._state(peer, shard, at) == ACTIVE:
            return
        await self._quiet(peer)
        await check_phase(self.context, self.epoch, Phase.MOVE)
        await peer.replicate_shard(self.name, shard, source=source, target=at, method=_COPY)
        await self._quiet(peer)
        await self._wait_active(peer, shard, at)

    # From the commits on

    async def commit(self) -> None:
        """Reads, then writes go by the new ring at every peer. Every replica is Active: none may
        be copied from one that is not clean while others are cleaned."""
        peer = await first_peer(self.context.peers)
        await self._applied(peer)
        placement = await self._same(peer)
        if not self._mine(placement):
            return self.check_finished(placement)  # by a leader before
        await self._name_step(peer, *_BOUND)
        for call in (peer.resharding.commit_read_ring, peer.resharding.commit_write_ring):
            await check_phase(self.context, self.epoch, *_BOUND)
            await call(self._alias)
            await self._applied(peer)
        await self._until(peer, self._is_whole, f"not every replica is {ACTIVE}")

    async def finish(self) -> None:
        """The step is over."""
        peer = await first_peer(self.context.peers)
        await self._applied(peer)
        placement = await self._same(peer)
        if self._mine(placement):
            if not self._is_whole(placement):
                raise Unavailable(f"not every replica of {self.name!r} is {ACTIVE}")
            await check_phase(self.context, self.epoch, *_BOUND)
            await peer.resharding.finish(self._alias)
            await self._applied(peer)
            placement = await self._same(peer)
        self.check_finished(placement)
        await self._unname_step(peer)

    def check_finished(self, placement: Placement) -> None:
        """Order: once all peers have applied what the one has that shows this.

        Raises: Unavailable, while another resharding is under way; NotFound, if none is, and there
            are not as many shards as the step leads to.
        """
        present = len(shards_of(placement, self.draft.plan.shard_key))
        said = f"{self.name!r} has {present} shards after a step to {self.draft.step.shards}"
        if placement.resharding:
            raise Unavailable(f"{said}, and is being resharded", "see `cleancut doctor`")
        if present != self.draft.step.shards:
            raise NotFound(
                f"{said}: another program has ended the resharding, or has made the collection"
                " again",
                "see what it holds, then reshard it",
            )

    def _is_whole(self, placement: Placement) -> bool:
        key = self.draft.plan.shard_key
        states = {one.state for one in placement.shards if one.shard_key == key}
        return states == {ACTIVE} and not placement.transfers

    async def abort(self) -> Placement:
        """Nothing of the step is left, or it was never begun. The placement after it. Raises:
        CollectionGone."""
        peer = await first_peer(self.context.peers)
        if self._mine(await self._present(peer)):
            await self._name_step(peer, Phase.ROLLBACK)
            await check_phase(self.context, self.epoch, Phase.ROLLBACK)
            try:
                await peer.resharding.abort(self._alias)
            except Invalid:
                if self._mine(await peer.placement(self.name)):
                    raise
            await self._applied(peer)
        await self._unname_step(peer)
        return await self._quiet(peer, aborted=True)

    async def _present(self, peer: Qdrant) -> Placement:
        """As any peer has it: one alone may lag. Raises: CollectionGone, if most peers have applied
        that the collection was deleted, and none that answers has it; Unavailable, if few do."""
        try:
            return await peer.placement(self.name)
        except NotFound:
            without = 0
        for one in self.context.peers:
            try:
                return await one.placement(self.name)
            except NotFound:
                without += 1
            except (Unavailable, TimedOut):
                continue
        if 2 * without > len(self.context.peers):
            raise CollectionGone(f"collection {self.name!r} was deleted")
        raise Unavailable(
            f"peer {peer.url} has no collection {self.name!r}, and most others do not answer",
            "start the peers that are away",
        )

    # The alias that stands for the step

    @property
    def _alias(self) -> str:
        return step_alias(self.epoch)

    async def _name_step(self, peer: Qdrant, *phases: Phase) -> None:
        """This step's alias is there, and that of no other step."""
        present = await self._step_aliases(peer)
        actions = _deleted(one for one in present if one != self._alias)
        if self._alias not in present:
            named = {"collection_name": self.name, "alias_name": self._alias}
            actions.append({"create_alias": named})
        if actions:
            await check_phase(self.context, self.epoch, *phases)
            await peer.change_aliases(actions)

    async def _unname_step(self, peer: Qdrant) -> None:
        if self._alias in await self._step_aliases(peer):
            await peer.change_aliases(_deleted([self._alias]))

    async def _step_aliases(self, peer: Qdrant) -> list[str]:
        found = (await peer.aliases()).items()
        return [one for one, name in found if name == self.name and one.startswith(STEP_ALIASES)]

    # The cluster as it is

    async def _same(self, peer: Qdrant) -> Placement:
        """The placement of the very collection that the step was planned for. Raises: NotFound, if
        it was deleted, or made again."""
        seen = await peer.telemetry()
        found = seen.collections.get(self.name)
        if found is None:
            raise NotFound(f"collection {self.name!r} was deleted")
        if self.draft.plan.uuid and found.uuid != self.draft.plan.uuid:
            raise NotFound(
                f"collection {self.name!r} was deleted and made again",
                "see what it holds, then reshard it",
            )
        return found.placement(seen.peer_id)

    def _mine(self, placement: Placement) -> ReshardingState | None:
        """The resharding under way, if it is this step's. Raises: Unavailable, if it is not."""
        for found in placement.resharding:
            if found.uuid and found.uuid != self.uuid:
                raise Unavailable(
                    f"another resharding of {self.name!r} is under way ({found})",
                    "wait until it has ended",
                )
            return found
        return None

    async def _state(self, peer: Qdrant, shard: ShardId, at: PeerId) -> str:
        placement = await peer.placement(self.name)
        states = {(one.shard_id, one.peer_id): one.state for one in placement.shards}
        return states.get((shard, at), "")

    async def _wait_active(self, peer: Qdrant, shard: ShardId, at: PeerId) -> None:
        def is_active(placement: Placement) -> bool:
            return any(
                (one.shard_id, one.peer_id, one.state) == (shard, at, ACTIVE)
                for one in placement.shards
            )

        await self._until(peer, is_active, f"shard {shard} is not {ACTIVE} at peer {at}")

    async def _quiet(self, peer: Qdrant, *, aborted: bool = False) -> Placement:
        """The placement once no transfer of the collection is under way: one of this step, or of a
        leader before. Order: no stream may begin before."""

        def is_quiet(placement: Placement) -> bool:
            if not aborted and not self._mine(placement):
                raise TimedOut(
                    f"Qdrant gave up the resharding of {self.name!r}: a transfer of it failed",
                    "see the logs of the peers",
                )
            return not placement.transfers

        return await self._until(peer, is_quiet, "a transfer takes too long")

    async def _until(
        self, peer: Qdrant, holds: Callable[[Placement], bool], otherwise: str
    ) -> Placement:
        clock = self.context.clock
        bound_s = _STREAM_S + self.draft.step.size_bytes / _BYTES_PER_S
        until_s = clock.monotonic_s() + bound_s
        while True:
            placement = await peer.placement(self.name)
            if holds(placement):
                return placement
            if clock.monotonic_s() >= until_s:
                raise TimedOut(f"{self.name!r}: {otherwise}", "see the logs of the peers")
            await clock.sleep(_POLL_S)

    async def _applied(self, peer: Qdrant) -> None:
        """Every peer has applied what `peer` has: one that lags would send writes by an older ring.

        Raises: Unavailable, if one does not in time."""
        clock = self.context.clock
        commit = (await peer.cluster()).commit
        until_s = clock.monotonic_s() + _APPLIED_S
        while True:
            seen = await peer.weights()
            late = [one for one in seen.peers if seen.commits.get(one, -1) < commit]
            if not late or not seen.commits:  # such as of a Qdrant that does not say it
                return
            if clock.monotonic_s() >= until_s:
                raise Unavailable(
                    f"peer {late[0]} has not applied what peer {peer.url} has", "see its log"
                )
            await clock.sleep(_POLL_S)


def _deleted(aliases: Iterable[str]) -> list[dict[str, Any]]:
    return [{"delete_alias": {"alias_name": one}} for one in aliases]


def shards_of(placement: Placement, shard_key: str | int | None) -> tuple[ShardId, ...]:
    """The shards with this key, as they are placed."""
    return tuple(
        sorted({ShardId(one.shard_id) for one in placement.shards if one.shard_key == shard_key})
    )
