"""What `bench.barrier` puts in place of Qdrant, and how it counts what etcd is asked to write."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleancut.core.cluster.drain_ids import ShardKeys
from cleancut.core.cluster.view import ACTIVE, CollectionView, ReplicaView, View
from cleancut.core.primitives.ids import ClusterName, PeerId, ShardId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.etcd.client import Etcd
from cleancut.ports.coordination import Guard, Op, Put, TxnResult
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import ClusterInfo, RecoveryCounters, Telemetry
from cleancut.qdrant.shard_sizes import Weights

CLUSTER, COLLECTION, ALIAS = ClusterName("bench"), "docs", "docs-write"


@dataclass(frozen=True, slots=True)
class Asked:
    agents: int
    epochs: int
    fence: bool
    etcd: list[str]
    root: str

    @property
    def peers(self) -> range:
        return range(1, self.agents + 1)

    @property
    def store(self) -> str:
        return f"file://{self.root}/store"


class CountingEtcd:
    """Etcd, with its transactions counted by the kind of the first key they write."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self.txns: Counter[str] = Counter()
        self.votes: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._etcd, name)

    async def txn(self, guards: Sequence[Guard], ops: Sequence[Op]) -> TxnResult:
        kind, *rest = ops[0].key.removeprefix(Keys(CLUSTER).root).split("/")
        writes = isinstance(ops[0], Put)
        self.txns[kind if writes else f"delete {kind}"] += 1
        if writes and kind == "vote":
            self.votes[str(int(rest[0]))] += 1
        return await self._etcd.txn(guards, ops)


class FlatQdrant(Qdrant):
    """A peer of a cluster in which nothing happens; aliases are in a file, so all peers agree.
    It has no connection: a call that is not overridden here fails at once."""

    def __init__(self, asked: Asked, peer: int) -> None:
        self._asked, self._peer = asked, peer
        self._aliases = Path(asked.root) / "aliases.json"
        self.url = f"flat-{peer}"
        self._mark: object = None

    async def cluster(self, timeout_s: float = 0.0) -> ClusterInfo:
        peers = {peer: f"flat-{peer}" for peer in self._asked.peers}
        return ClusterInfo(self._peer, peers, 1, 1, 0, enabled=True)

    async def version(self, timeout_s: float = 0.0) -> str:
        return "1.18.3"

    async def telemetry(self, level: int = 3, timeout_s: float = 0.0) -> Telemetry:
        return Telemetry("1.18.3", "start", self._peer, {}, RecoveryCounters(0, 0, 0, 0))

    async def allows_urls(self, timeout_s: float = 0.0) -> bool:
        return True

    async def check_upload_rights(self, timeout_s: float = 0.0) -> None:
        await asyncio.sleep(0)

    async def weights(self, timeout_s: float = 0.0) -> Weights:
        return Weights(dict.fromkeys(self._asked.peers, True), {})

    async def cluster_metadata(self, timeout_s: float = 0.0) -> dict[str, Any]:
        return {}

    async def cluster_metadata_value(self, key: str, timeout_s: float = 0.0) -> Any:
        return self._mark

    async def put_cluster_metadata(self, key: str, value: object, timeout_s: float = 0.0) -> bool:
        self._mark = value
        return True

    async def quotas(self, timeout_s: float = 0.0) -> None:
        return None

    async def collection(self, name: str, timeout_s: float = 0.0) -> dict[str, Any]:
        params = {"shard_number": self._asked.agents, "replication_factor": 1}
        return {"config": {"params": params}, "payload_schema": {}}

    async def collections(self, timeout_s: float = 0.0) -> list[str]:
        return [COLLECTION]

    async def drain(
        self, name: str, shard_ids: Sequence[int], shard_keys: ShardKeys, timeout_s: float
    ) -> None:
        await asyncio.sleep(0)

    async def patch_collection(
        self, name: str, body: Mapping[str, Any], timeout_s: float = 0.0
    ) -> None:
        await asyncio.sleep(0)

    async def aliases(self, timeout_s: float = 0.0) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._aliases.read_text())
        return found

    async def change_aliases(
        self, actions: Sequence[Mapping[str, Any]], timeout_s: float = 0.0
    ) -> None:
        aliases = await self.aliases()
        for action in actions:
            names = action["rename_alias"]
            aliases[names["new_alias_name"]] = aliases.pop(names["old_alias_name"])
        new = self._aliases.with_suffix(".new")
        new.write_text(json.dumps(aliases))
        new.rename(self._aliases)


def view_of(asked: Asked, aliases: Mapping[str, str]) -> View:
    """One collection with a shard on each peer."""
    replicas = tuple(
        ReplicaView(shard_id=ShardId(peer - 1), peer_id=PeerId(peer), state=ACTIVE)
        for peer in asked.peers
    )
    return View(
        peers=tuple(PeerId(peer) for peer in asked.peers),
        collections=(CollectionView(name=COLLECTION, uuid="u", config="c", replicas=replicas),),
        aliases=tuple(sorted(aliases.items())),
    )
