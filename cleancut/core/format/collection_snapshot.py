"""Collection snapshot of Qdrant: what it holds besides the tars of its shards. Pure.

Shape: one tar; each shard's members are below the number of the shard, and these documents follow.
Source: lib/collection/src/collection/snapshots.rs, Qdrant 1.18.3
"""

from __future__ import annotations

from typing import Any

import msgspec

from cleancut.core.cluster.collection_config import indexes
from cleancut.core.format.manifest import CollectionEntry

COLLECTION_VERSION = b"0.4.2"
"""Version of a stored collection, not of the server. Source: lib/collection/Cargo.toml, Qdrant
1.17.1 to 1.19.0"""


def snapshot_documents(entry: CollectionEntry) -> dict[str, bytes]:
    """The documents by their path, for a single peer: one replica of each shard."""
    config: dict[str, Any] = dict(entry.info["config"])
    one = {"replication_factor": 1, "write_consistency_factor": 1}
    config["params"] = {**config["params"], **one}
    keys = [{"key": key, "shard_ids": list(shards)} for key, shards in entry.shard_keys]
    documents: dict[str, Any] = {
        "config.json": config,
        "payload_index.json": {"schema": indexes(entry.info)},
        "shard_key_mapping.json": keys,
    }
    encoded = {path: msgspec.json.encode(value) for path, value in documents.items()}
    return {"version.info": COLLECTION_VERSION, **encoded}
