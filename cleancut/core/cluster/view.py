"""Views of a cluster: what one peer reports, byte for byte equal for peers that agree.

Without counts, commits, comments or times, which differ between peers that agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cleancut.core.cluster.resharding import ReshardingState
from cleancut.core.primitives.codec import Record, digest_of
from cleancut.core.primitives.ids import PeerId, ShardId

ACTIVE = "Active"
"""The state of a replica that serves; Qdrant's word."""


class ReplicaView(Record, frozen=True):
    """One replica, as consensus has it."""

    shard_id: ShardId
    peer_id: PeerId
    state: str
    shard_key: str | int | None = None


class TransferView(Record, frozen=True):
    """`target_shard`: the shard that some of the points go to, in a resharding."""

    shard_id: ShardId
    source: PeerId
    target: PeerId
    target_shard: ShardId | None = None


class CollectionView(Record, frozen=True):
    """`config`: sha256 of the peer's own config. `lost`: shards without any replica."""

    name: str
    uuid: str
    config: str
    replicas: tuple[ReplicaView, ...]
    transfers: tuple[TransferView, ...] = ()
    resharding: tuple[ReshardingState, ...] = ()
    lost: tuple[ShardId, ...] = ()


class View(Record, frozen=True):
    """The peers, and the collections of a selection with their aliases, and the aliases that the
    selection names. `hidden`: collections that the peer lists and does not describe, as when an
    alias has taken their name.

    It holds only what a peer itself has applied: no answer that it has to fetch from another one.
    Order: everything sorted, so that the canonical encoding is one per meaning.
    """

    peers: tuple[PeerId, ...]
    collections: tuple[CollectionView, ...]
    aliases: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...] = ()

    def collection(self, name: str) -> CollectionView | None:
        return next((entry for entry in self.collections if entry.name == name), None)


def config_digest(config: Mapping[str, Any]) -> str:
    """sha256 of a collection's configuration; an empty strict mode, as a fence leaves it, is none.

    Source: measured; PATCH of `strict_mode_config: {}`, Qdrant 1.18.3.
    """
    said = {key: value for key, value in config.items() if value or key != "strict_mode_config"}
    return digest_of(said)
