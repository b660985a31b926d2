"""What `Barrier` asks of a coordinator, done on the simulated cluster and store."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from cleancut.core.backup.assignment import assign, choose_collections, newest_entries, shard_ids
from cleancut.core.backup.phases import Assign, Assigned, Publish, Stage, StoreCanaries
from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import (
    FORMAT,
    AgentDocument,
    ClusterEntry,
    CollectionEntry,
    Draft,
    Manifest,
    ShardEntry,
    check_complete,
    parse_manifest,
)
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.protocol.canary import Canaries, Canary
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Drain, Drained, Probe
from cleancut.core.protocol.etcd_records import Session
from cleancut.core.protocol.fence import NO_SETTINGS, check_seen_everywhere, choose_fence, facts_of
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.verification.canaries import proven
from cleancut.repository.catalog import get_checked
from cleancut_coordinator.backup.canaries import stored_canaries
from cleancut_coordinator.leader.state import format_now
from tests.sim.coordinators import BOUNDS, SimCoordinator, Term
from tests.sim.fences import carry_out
from tests.sim.world import Reply


class CoordinatorEffects:
    """What `Barrier` asks for, done on the simulated cluster and store."""

    def __init__(self, coordinator: SimCoordinator) -> None:
        self._owner, self._shared = coordinator, coordinator.shared
        self._qdrant, self._store = coordinator.qdrant, coordinator.store

    async def run(self, effect: Effect) -> object:
        await self.suffer()
        paths = self._shared.paths
        match effect:
            case Probe():
                path = paths.probe(effect.epoch, "_coordinator")
                await self._store.put(path, effect.nonce.encode())
            case Assign():
                return await self._assign(effect)
            case Drain():
                return await self._drain(effect)
            case StoreCanaries():
                await self._put_staged(effect.epoch, encode(effect.canaries))
            case Stage():
                return await self._stage(effect)
            case Publish():
                await self._publish(effect)
            case _:
                await carry_out(self._owner.pulls, self._owner.process, effect)
        return None

    async def suffer(self) -> None:
        """Any effect takes time, hangs or fails, as the weather is."""
        weather, world = self._shared.weather, self._shared.world
        await self._owner.process.sleep(world.rng.random() * 0.01)
        if world.chance(weather.effect_hangs):
            await self._owner.process.sleep(world.rng.random() * 10.0)
        if world.chance(weather.effect_fails):
            raise Unavailable("a fault of the simulation")

    async def _assign(self, effect: Assign) -> Assigned:
        request = effect.request
        assert isinstance(request, BackupRequest), "a backup's attempt"
        view, sessions = await self.read_told(effect)
        chosen = choose_collections(view, request.collections, allow_empty=False)
        fence = choose_fence(effect.epoch, request, NO_SETTINGS, view=view, chosen=chosen)
        if fence is not None:
            check_seen_everywhere(view, [session.peer_id for session in sessions.values()])
        tasks = assign(view, chosen, sessions, newest_entries(self._parents()))
        entries = []
        for name in chosen:
            seen = view.collection(name)
            assert seen is not None
            ids = tuple(shard_ids(seen))
            info = self._qdrant.info(name)
            aliases = tuple(alias for alias, of in view.aliases if of == name)
            entries.append(
                CollectionEntry(
                    name=name, uuid=seen.uuid, info=info, shard_ids=ids, aliases=aliases
                )
            )
        draft = Draft(
            epoch=effect.epoch,
            operation=effect.operation,
            cluster="sim",
            cluster_id="sim",
            collections=tuple(entries),
            source=ClusterEntry(qdrant_version="1.18.3", peers={}, metadata={}),
            shard_keys={},
            undrainable={},
            fence=fence,
        )
        staged = await self._put_staged(effect.epoch, encode(draft))
        return Assigned(staged, tuple(chosen), tasks, fence)

    async def read_told(self, effect: Assign) -> tuple[View, dict[AgentName, Session]]:
        path = self._shared.paths.probe(effect.epoch, effect.view_object)
        view = decode(View, await self._store.get(path), path)
        sessions: dict[AgentName, Session] = {}
        for agent in effect.members:
            found = await self._owner.etcd.get(self._shared.keys.session(agent))
            if found is None:
                raise Unavailable(f"agent {agent} lost its session")
            sessions[agent] = decode(Session, found.value, found.key)
        return view, sessions

    def _parents(self) -> list[Manifest]:
        """The newest published group. Read without delay: parents are a matter of cost."""
        groups = self._shared.paths.groups
        newest = max((p for p in self._shared.store.objects if p.startswith(groups)), default="")
        return [parse_manifest(self._shared.store.objects[newest], newest)] if newest else []

    async def _put_staged(self, epoch: Epoch, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        await self._store.put(self._shared.paths.staged(epoch, sha256), data)
        return sha256

    async def _draft(self, epoch: Epoch, sha256: str) -> Draft:
        path = self._shared.paths.staged(epoch, sha256)
        return decode(Draft, await get_checked(self._store, path, sha256), path)

    async def _drain(self, effect: Drain) -> Drained:
        draft = await self._draft(effect.epoch, effect.draft)
        answers = [self._drain_one(entry.name) for entry in draft.collections]
        undrained = [index for index, answer in enumerate(answers) if not await answer]
        canaries = _canaries(draft) if effect.round == 2 else None
        return Drained(tuple(undrained), format_now(self._owner.context.clock), canaries)

    def _drain_one(self, name: str) -> Reply:
        """True once it was applied everywhere; False, if that is unknown or impossible."""
        world, weather, reply = self._shared.world, self._shared.weather, Reply()
        world.after(BOUNDS.drain_s, lambda: reply.answer(False), self._owner.process)
        lost = world.chance(weather.lost_answer)
        late_s = world.rng.random() * (4.0 if world.chance(weather.slow) else 0.003)
        back_s = world.rng.random() * 0.003

        def told(done: bool) -> None:
            if not lost:
                world.after(back_s, lambda: reply.answer(done), self._owner.process)

        def arrive() -> None:
            through = world.rng.choice(list(self._qdrant.peers))
            try:
                self._qdrant.drain(name, through, told)
            except Unavailable:
                told(False)

        if not world.chance(weather.lost_request + weather.lost_drain):
            world.after(late_s, arrive)
        return reply

    async def _stage(self, effect: Stage) -> str:
        ctl = effect.ctl
        draft = await self._draft(effect.epoch, ctl.draft)
        undrained = {draft.collections[index].name for index in ctl.undrained}
        uuids = {entry.name: entry.uuid for entry in draft.collections}
        shards: list[ShardEntry] = []
        for agent, sha256 in effect.documents:
            path = self._shared.paths.votes_document(effect.epoch, agent, sha256)
            document = decode(AgentDocument, await get_checked(self._store, path, sha256), path)
            shards += [
                replace(s, drained=s.collection not in undrained, uuid=uuids[s.collection])
                for s in document.shards
            ]
        manifest = Manifest(
            format=FORMAT,
            cluster=draft.cluster,
            cluster_id=draft.cluster_id,
            epoch=effect.epoch,
            operation=ctl.operation,
            created_by="sim",
            cut_at=ctl.cut_at,
            skew_ms=ctl.skew_ms,
            collections=draft.collections,
            shards=tuple(sorted(shards, key=lambda shard: (shard.collection, shard.shard_id))),
            source=draft.source,
            view=ctl.views,
            canaries=proven(await stored_canaries(self._owner.context, ctl), shards),
            fence=facts_of(draft.fence, effect.seen, ctl.fence_ms),
        )
        self.check(manifest)
        return await self._put_staged(effect.epoch, encode(manifest))

    def check(self, manifest: Manifest) -> None:
        check_complete(manifest)

    async def _publish(self, effect: Publish) -> None:
        paths = self._shared.paths
        staged = paths.staged(effect.epoch, effect.manifest)
        data = await get_checked(self._store, staged, effect.manifest)
        await self._store.put(paths.group(effect.epoch), self.to_publish(data))
        await self._store.get(paths.group(effect.epoch))

    def to_publish(self, data: bytes) -> bytes:
        return data


def _canaries(draft: Draft) -> Canaries:
    """Answers without meaning: what matters here is when they are stored, and by whom read."""
    return Canaries(
        epoch=draft.epoch,
        canaries=tuple(
            Canary(collection=entry.name, vector="", query=1, ids=(), scores=())
            for entry in draft.collections
        ),
    )


Term.effects = CoordinatorEffects
