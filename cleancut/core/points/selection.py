"""Selection of points in a backup: by id, by filter, by shard key; what is given intersects.

A point's identity is its shard key and its id: an id without a shard key means that id in every
key.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from cleancut.core.cluster.hash_ring import HashRing, hashes_of, point_id
from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.primitives.errors import Invalid, NotFound
from cleancut.core.primitives.numbers import whole_number

PointId = int | str
"""An unsigned 64-bit number, or a UUID as text."""
MAX_ID = (1 << 64) - 1


class Selection(msgspec.Struct, frozen=True):
    """Which points: `ids` (None: all), `filter` in Qdrant's JSON (None: all), `shard_keys` (none:
    all)."""

    ids: tuple[PointId, ...] | None = None
    filter: dict[str, Any] | None = None
    shard_keys: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        """True if every point of a shard is selected."""
        return self.ids is None and self.filter is None


def parse_id(text: str) -> PointId:
    """Raises: Invalid, unless it is an unsigned 64-bit number or a UUID."""
    number = whole_number(text)
    if number is not None and number <= MAX_ID:
        return number
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise Invalid(
            f"{text!r} is not a point id", "an id is an unsigned 64-bit number or a UUID"
        ) from None


def parse_ids(texts: Iterable[str]) -> tuple[PointId, ...] | None:
    """The ids in `texts`, separated by commas or blanks, sorted as Qdrant sorts them, each once;
    None without a text. Raises: Invalid."""
    given = list(texts)
    if not given:
        return None
    found = {parse_id(word) for text in given for word in text.replace(",", " ").split()}
    if not found:
        raise Invalid("--ids names no id", "give ids, such as --ids 1,2, or a file: --ids @FILE")
    return tuple(sorted(found, key=order_of))


def order_of(point: PointId) -> tuple[bool, PointId]:
    """Key by which Qdrant scrolls: numbers, then UUIDs."""
    return isinstance(point, str), point


def parse_filter(text: str) -> dict[str, Any]:
    """The JSON object in `text`. Raises: Invalid, with the place of the mistake."""
    hint = 'a filter is Qdrant\'s, such as {"must": [{"key": "city", "match": {"value": "Rome"}}]}'
    try:
        body = msgspec.json.decode(text)  # unlike json.loads, it takes no NaN and no infinity
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Invalid(f"the filter is not JSON: {error}", hint) from error
    if not isinstance(body, dict):
        raise Invalid(f"the filter is not a JSON object, but {type(body).__name__}", hint)
    return body


def shards_selected(
    manifest: Manifest, collection: str, keys: Iterable[str]
) -> tuple[ShardEntry, ...]:
    """The shards of `collection` under these shard keys (none: all), by id.

    Raises: NotFound, for an unknown collection or key; Invalid, for a key where there are none.
    """
    entry = manifest.collection(collection)
    shards = manifest.shards_of(entry.name)
    wanted = set(keys)
    if not wanted:
        return shards
    known = {str(key) for key, _ in entry.shard_keys}
    if not known:
        raise Invalid(
            f"collection {collection!r} of backup #{manifest.epoch} has no shard keys",
            "leave --shard-key out",
        )
    if unknown := sorted(wanted - known):
        raise NotFound(
            f"collection {collection!r} of backup #{manifest.epoch} has no shard key"
            f" {unknown[0]!r}",
            f"its shard keys are {', '.join(sorted(known))}",
        )
    return tuple(one for one in shards if str(one.shard_key) in wanted)


def owners_of(
    all_shards: Sequence[ShardEntry], chosen: Sequence[ShardEntry], ids: Sequence[PointId]
) -> list[tuple[ShardEntry, tuple[PointId, ...]]]:
    """Those of the `chosen` shards in which one of `ids` may lie, with these ids, in their order.
    `all_shards`: of the collection, since a point's shard follows from all ids of its key."""
    hashed = hashes_of([point_id(one) for one in ids])
    found = []
    for key in dict.fromkeys(one.shard_key for one in chosen):
        ring = HashRing(one.shard_id for one in all_shards if one.shard_key == key)
        owners = ring.owners_of(hashed)
        for shard in chosen:
            if shard.shard_key == key:
                mine = [i for i, o in zip(ids, owners, strict=True) if o == shard.shard_id]
                found.append((shard, tuple(mine)))
    return [(shard, mine) for shard, mine in found if mine]


def opened_shards(
    manifest: Manifest, collection: str, selection: Selection
) -> list[tuple[ShardEntry, Selection]]:
    """The shards in which selected points may lie, by id, and what to read of each. Raises: as
    `shards_selected`."""
    chosen = shards_selected(manifest, collection, selection.shard_keys)
    if selection.ids is None:
        return [(shard, selection) for shard in chosen]
    owners = owners_of(manifest.shards_of(collection), chosen, selection.ids)
    found = [(shard, replace(selection, ids=ids)) for shard, ids in owners]
    return sorted(found, key=lambda one: one[0].shard_id)


def params_of(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters in what Qdrant says of a collection."""
    found: Mapping[str, Any] = (info.get("config") or {}).get("params") or {}
    return found
