"""Collection snapshot of Qdrant: what it holds besides the tars of its shards. Pure.

Shape: one tar; each shard's members are below the number of the shard, and these documents follow.
Source: lib/collection/src/collection/snapshots.rs, Qdrant 1.18.3
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec

from cleancut.core.cluster.collection_config import indexes
from cleancut.core.format.manifest import CollectionEntry
from cleancut.core.primitives.errors import Invalid, Refused
from cleancut.core.primitives.ids import ShardId

COLLECTION_VERSION = b"0.4.2"
"""Version of a stored collection, not of the server. Source: lib/collection/Cargo.toml, Qdrant
1.17.1 to 1.19.0"""
_ABSENT = {"is_local": False, "this_peer_id": 1, "peers": {}}
"""State of a shard without data. Source: lib/collection/src/shards/replica_set/snapshots.rs"""


def snapshot_documents(entry: CollectionEntry, absent: Iterable[ShardId] = ()) -> dict[str, bytes]:
    """The documents by their path: one replica of each shard, on whatever peer recovers it.
    `absent`: shards that another peer recovers: Qdrant refuses a snapshot that does not know them.
    """
    config: dict[str, Any] = dict(entry.info["config"])
    one = {"replication_factor": 1, "write_consistency_factor": 1}
    config["params"] = {**config["params"], **one}
    keys = [{"key": key, "shard_ids": list(shards)} for key, shards in entry.shard_keys]
    documents: dict[str, Any] = {
        "config.json": config,
        "payload_index.json": {"schema": indexes(entry.info)},
        "shard_key_mapping.json": keys,
    }
    for shard in absent:
        documents[f"{shard}/replica_state.json"] = _ABSENT
        documents[f"{shard}/shard_config.json"] = {"type": "ReplicaSet"}
    encoded = {path: msgspec.json.encode(value) for path, value in documents.items()}
    return {"version.info": COLLECTION_VERSION, **encoded}


def shards_of_peers(entry: CollectionEntry, peers: int) -> list[tuple[ShardId, ...]]:
    """The shards of each of N files, one for a peer: every shard in one of them.

    Raises: Refused, for a collection that Qdrant's API does not recover on a cluster; Invalid, if a
        file would have no shard.
    """
    if entry.shard_keys:
        raise Refused(
            f"collection {entry.name!r} has shard keys: Qdrant's API recovers no shard of it on a"
            " cluster",
            "restore it with `cleancut restore start`, or leave --peers out",
        )
    shards = sorted(entry.shard_ids)
    if peers > len(shards):
        raise Invalid(
            f"--peers {peers} is more than the {len(shards)} shards of {entry.name!r}",
            f"take --peers {max(1, len(shards))}, whose files any of the peers takes",
        )
    return [tuple(shards[at::peers]) for at in range(peers)]


def upload_command(collection: str, peer: str, file: str, sha256: str) -> str:
    """What recovers a file on a peer: a line for a shell. Source: api/snapshots, Qdrant 1.18.3"""
    name = quote(collection, safe="")
    query = f"priority=snapshot&checksum={sha256}"
    url = f"http://{peer}:6333/collections/{name}/snapshots/upload?{query}"
    escaped = file.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.join(
        ["curl", "-sS", "--fail-with-body", "-X", "POST", url, "-F", f'snapshot=@"{escaped}"']
    )
