"""This peer: what it agreed on, the replicas it holds, and the gates that writes pass."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from cleancut.engine.config import Json
from cleancut_devcluster.peer.cluster.peer_calls import Peers
from cleancut_devcluster.peer.cluster.strays import delete_strays
from cleancut_devcluster.peer.consensus.journal import ProposalJournal
from cleancut_devcluster.peer.consensus.proposals import Build, Consensus
from cleancut_devcluster.peer.consensus.resharding import MIGRATING, Resharding
from cleancut_devcluster.peer.consensus.state import (
    SERVES,
    ClusterState,
    Collection,
    ShardTransfer,
)
from cleancut_devcluster.peer.engine.errors import Problem, not_found, service_error
from cleancut_devcluster.peer.engine.shard import LocalShard
from cleancut_devcluster.peer.engine.shard_log import LogPlace

_ENGINE_SETTINGS = {"params", "hnsw_config", "optimizers_config", "optimizer_config", "vectors"}


class WriteGate:
    """Writes that are on their way through this peer; `barrier` waits until all have ended."""

    def __init__(self) -> None:
        self._inside = 0
        self._changed = asyncio.Condition()
        self._closed = False

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._closed)
            self._inside += 1
        try:
            yield
        finally:
            async with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    async def barrier(self) -> None:
        """Writers that came before have ended; those that come meanwhile wait."""
        async with self._changed:
            self._closed = True
            try:
                await self._changed.wait_for(lambda: self._inside == 0)
            finally:
                self._closed = False
                self._changed.notify_all()


class Node:
    """`root` holds the journal that the peers share, `directory` what is this peer's alone;
    `storage` in it is what an agent is given to see. `recovery_mode`: why no shard is loaded.
    `segment_bytes`: of logs; 0: as configured."""

    def __init__(
        self,
        directory: Path,
        root: Path,
        *,
        api_key: str | None,
        standalone: bool,
        recovery_mode: str = "",
        segment_bytes: int = 0,
        allows_resharding: bool = True,
    ) -> None:
        self.directory = directory
        self.recovery_mode = recovery_mode
        self.allows_resharding = allows_resharding
        self.forwards: dict[tuple[str, int], ShardTransfer] = {}
        self.cleaned: set[tuple[str, int]] = set()
        self.storage = directory / "storage"
        self._segment_bytes = segment_bytes
        self.standalone = standalone
        self.peer_id = _peer_id(directory)
        self.shards: dict[tuple[str, int], LocalShard] = {}
        self.peers = Peers(lambda peer: self.state.peers.get(peer), api_key)
        self._reshardings: dict[str, Resharding] = {}
        self._gates: dict[str, WriteGate] = {}
        self._journal = ProposalJournal(root / "journal")
        self.consensus = Consensus(self._journal, self.peer_id, self._settle, self._poke)
        self.scratch = directory / "scratch"
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        (self.storage / "collections").mkdir(parents=True, exist_ok=True)
        state = msgspec.json.encode({"this_peer_id": self.peer_id})
        (self.storage / "raft_state.json").write_bytes(state)

    @property
    def state(self) -> ClusterState:
        return self.consensus.state

    async def close(self) -> None:
        for shard in self.shards.values():
            shard.close()
        await self.peers.close()
        self._journal.close()

    async def propose(self, build: Build, timeout_s: float = 10.0, *, wait: bool = True) -> Any:
        return await self.consensus.propose(build, timeout_s, wait=wait)

    async def join(self, uri: str) -> None:
        """This peer is in the cluster under `uri`, with the state up to now applied.

        Raises: Problem 400, if a lost peer still holds shards under the same address; 500, if
            consensus stops while it reads what was agreed on.
        """

        def build(state: ClusterState) -> Json | None:
            for peer, known in state.peers.items():
                if known == uri and peer != self.peer_id and any(state.replicas_on(peer)):
                    raise Problem(
                        400,
                        f"peer URI {uri} already used by peer {peer} which still has shards, "
                        "remove its shards first or use a different URI",
                    )
            if state.peers.get(self.peer_id) == uri:
                return None
            return {"op": "add_peer", "peer": self.peer_id, "uri": uri}

        await self.consensus.catch_up()
        if self.consensus.stopped:
            raise service_error(self.consensus.stopped)
        await self.propose(build)
        await self.consensus.catch_up()
        self.reconcile()

    def collection(self, name: str) -> Collection:
        """By its name or by an alias, which wins. Raises: Problem 404."""
        found = self.state.collections.get(self.state.aliases.get(name, name))
        if found is None:
            raise not_found(f"Collection `{name}` doesn't exist!")
        return found

    def gate(self, collection: Collection) -> WriteGate:
        return self._gates.setdefault(collection.uuid, WriteGate())

    def local(self, collection: Collection, shard_id: int) -> LocalShard:
        """This peer's replica. Raises: Problem 404."""
        shard = self.shards.get((collection.uuid, shard_id))
        if shard is None:
            raise not_found(f"shard {shard_id} not found")
        return shard

    def holds_active(self, collection: Collection, shard_id: int) -> bool:
        return collection.shards[shard_id].replicas.get(self.peer_id) in SERVES

    def reconcile(self) -> None:
        """The replicas on disk are those that the state puts here."""
        wanted = {
            (collection.uuid, number): collection
            for collection, number, _ in self.state.replicas_on(self.peer_id)
        }
        for key in [key for key in self.shards if key not in wanted]:
            self.shards.pop(key).drop()
        for key, collection in wanted.items():
            if key not in self.shards:
                self.shards[key] = self._open_shard(key, collection)
        uuids = {collection.uuid for collection in self.state.collections.values()}
        for directory in (self.directory / "collections").glob("*"):
            if directory.name not in uuids:
                shutil.rmtree(directory, ignore_errors=True)
        for directory in (self.storage / "collections").glob("*"):
            if directory.name not in self.state.collections:
                shutil.rmtree(directory, ignore_errors=True)

    def _open_shard(self, key: tuple[str, int], collection: Collection) -> LocalShard:
        directory = self.directory / "collections" / key[0] / str(key[1])
        name = self.storage / "collections" / collection.name
        log = LogPlace(name / str(key[1]) / "wal", self._segment_bytes)
        return LocalShard(directory, collection.config, log, self.recovery_mode)

    async def _settle(self, entries: list[Json]) -> None:
        for entry in entries:
            if entry["op"] == "patch_collection":
                await self._patched(entry)
        self.reconcile()
        before, self._reshardings = self._reshardings, self._reshardings_now()
        await self._follow(before)

    async def _follow(self, before: dict[str, Resharding]) -> None:
        """The local part of what was committed or ended since `before`, by collection."""
        for uuid, was in before.items():
            collection = self.state.by_uuid(uuid)
            if collection is None or collection.resharding == was:
                continue
            ring = collection.shards_of(was.key)
            mine = [number for number in ring if (uuid, number) in self.shards]
            self.cleaned -= {(uuid, number) for number in mine}
            aborted = collection.resharding is None and was.stage == MIGRATING
            for number in mine if aborted and not was.up else ():
                await delete_strays(self.shards[uuid, number], number, ring)

    def _reshardings_now(self) -> dict[str, Resharding]:
        collections = self.state.collections.values()
        return {one.uuid: one.resharding for one in collections if one.resharding is not None}

    async def _patched(self, entry: Json) -> None:
        collection = self.state.collections.get(entry["name"])
        if collection is None:
            return
        await self.gate(collection).barrier()
        if _ENGINE_SETTINGS & set(entry["diff"]) or entry["diff"].get("quantization_config"):
            for (uuid, _), shard in self.shards.items():
                if uuid == collection.uuid:
                    shard.reconfigure(collection.config)

    async def _poke(self, peer: int, timeout_s: float) -> Any:
        return await self.peers.call(peer, "poke", None, timeout_s)


def _peer_id(directory: Path) -> int:
    """The id this directory was given at its first start."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "peer.json"
    if not path.exists():
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode({"peer_id": random.SystemRandom().getrandbits(53)}))
        new.replace(path)
    return int(msgspec.json.decode(path.read_bytes())["peer_id"])
