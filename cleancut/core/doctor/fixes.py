"""Fixes: exact commands and calls, ready to be pasted into a shell. Text only."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

_KEY = '-H "api-key: $QDRANT_API_KEY"'


def repair(epoch: int, collection: str, shards: Iterable[int]) -> str:
    chosen = " ".join(f"--only-shard {shard}" for shard in shards)
    return f"cleancut restore start {epoch} --collection {shlex.quote(collection)} {chosen}"


def back_up(collection: str) -> str:
    return f"cleancut backup create --collection {shlex.quote(collection)}"


def forget(peer_id: int, *, force: bool) -> str:
    return f"cleancut cluster forget-peer {peer_id}" + (" --force" if force else "")


def clean(restore: str) -> str:
    return f"cleancut restore clean {restore}"


def delete_backup(epoch: int) -> str:
    return f"cleancut backup delete {epoch}"


def delete_collection(url: str, collection: str) -> str:
    return _call("DELETE", f"{url}/collections/{quote(collection, safe='')}")


def change_aliases(url: str, action: dict[str, Any]) -> str:
    return _call("POST", f"{url}/collections/aliases", {"actions": [action]})


def copy_replica(url: str, collection: str, shard_id: int, *, source: int, target: int) -> str:
    """Replaces the replica at `target` by a fresh copy."""
    route = {"shard_id": shard_id, "from_peer_id": source, "to_peer_id": target}
    path = f"{url}/collections/{quote(collection, safe='')}/cluster"
    return _call("POST", path, {"replicate_shard": route})


def _call(method: str, url: str, body: object = None) -> str:
    """Curl sends no api-key header if the environment has no key."""
    call = f"curl -fsS -X {method} {_KEY} {shlex.quote(url)}"
    if body is None:
        return call
    return f"{call} -H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}"


def look(url: str) -> str:
    """What the peer at `url` says of its cluster, within a few seconds."""
    return f"curl -fsS -m 10 {_KEY} {shlex.quote(url + '/cluster')}"


def count(url: str, collection: str) -> str:
    path = f"{url}/collections/{quote(collection, safe='')}/points/count"
    return _call("POST", path, {"exact": True})


def shards_of(url: str, collection: str) -> str:
    """Where the replicas of a collection are."""
    path = f"{url}/collections/{quote(collection, safe='')}/cluster"
    return f"curl -fsS {_KEY} {shlex.quote(path)}"


def copy_shard(url: str, collection: str, shard_id: int) -> str:
    """Saves a shard as a snapshot file in the current directory."""
    encoded = quote(collection, safe="")
    path = f"{url}/collections/{encoded}/shards/{shard_id}/snapshot"
    file = shlex.quote(f"{encoded}-{shard_id}.snapshot")
    return f"curl -fsS {_KEY} -o {file} {shlex.quote(path)}"
