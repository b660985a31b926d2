"""Choice of an import: which file gives which shard, and the collection that they make up. Pure.

Source: lib/collection/src/collection/snapshots.rs and shards/shard_holder/mod.rs, Qdrant 1.18.3
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from cleancut.core.cluster.collection_config import check_described, named_vectors, shape_of
from cleancut.core.format.manifest import CollectionEntry
from cleancut.core.primitives.errors import Invalid, Refused
from cleancut.core.primitives.ids import ShardId

CONFIG, INDEXES, KEYS = "config.json", "payload_index.json", "shard_key_mapping.json"
"""The documents of a collection that are read."""
ALONE = -1
"""Stands for the only shard of a snapshot of one shard."""
_EXPLICIT = re.compile(r"([0-9]{1,9})=(.+)", re.DOTALL)
_NAMED = re.compile(r".*-shard-([0-9]{1,9})-[^/]*")
_TAKE = "take a snapshot of the collection on each node: POST /collections/NAME/snapshots"
_SHOWN = 5


class _Indexes(msgspec.Struct):
    schema: dict[str, str | dict[str, Any]] | None = None


class _Key(msgspec.Struct):
    key: str | int
    shard_ids: list[ShardId]


class Source(NamedTuple):
    """A file as it is given: of all its shards, or of one. `file`: as it was spelled."""

    file: str
    shard: ShardId | None = None


class Contents(NamedTuple):
    """What a file holds. `shards`: those whose data it has, `ALONE` in a snapshot of one shard;
    `documents`: by path, of the collection."""

    file: str
    shards: frozenset[int]
    documents: Mapping[str, bytes]


class Choice(NamedTuple):
    """A shard, the file that gives it, and its number in there."""

    shard_id: ShardId
    file: str
    inner: int


def parse_source(text: str) -> Source:
    """FILE, or SHARD=FILE."""
    found = _EXPLICIT.fullmatch(text)
    return Source(found[2], ShardId(int(found[1]))) if found else Source(text)


def choose(sources: Sequence[Source], files: Mapping[str, Contents]) -> tuple[Choice, ...]:
    """Each shard once, in order. Raises: Refused, where two files give one, or a file does not say
    which it gives."""
    explicit: dict[ShardId, Choice] = {}
    others: dict[ShardId, list[Choice]] = {}
    named = {one.file for one in sources if one.shard is not None}
    for source in sources:
        contents = files[source.file]
        if source.shard is not None:
            chosen = _explicit(source.shard, contents)
            if explicit.setdefault(source.shard, chosen) != chosen:
                raise _twice(source.shard, [explicit[source.shard], chosen])
            continue
        if contents.shards == {ALONE} and source.file in named:
            continue
        for one in _all_of(contents):
            others.setdefault(one.shard_id, []).append(one)
    for shard_id, given in others.items():
        if shard_id not in explicit and len(set(given)) > 1:
            raise _twice(shard_id, given)
    first = {shard_id: given[0] for shard_id, given in others.items()}
    return tuple(one for _, one in sorted({**first, **explicit}.items()))


def _explicit(shard_id: ShardId, contents: Contents) -> Choice:
    if contents.shards == {ALONE}:
        return Choice(shard_id, contents.file, ALONE)
    if shard_id not in contents.shards:
        there = ", ".join(map(str, sorted(contents.shards))) or "none"
        raise Refused(
            f"{contents.file} does not hold the data of shard {shard_id}", f"it holds: {there}"
        )
    return Choice(shard_id, contents.file, shard_id)


def _all_of(contents: Contents) -> Iterator[Choice]:
    if contents.shards != {ALONE}:
        yield from (Choice(ShardId(one), contents.file, one) for one in sorted(contents.shards))
        return
    found = _NAMED.fullmatch(contents.file)
    if found is None:
        raise Refused(
            f"{contents.file} is the snapshot of one shard, and its name does not say of which",
            f"give it as SHARD=FILE, such as 0={contents.file}",
        )
    yield Choice(ShardId(int(found[1])), contents.file, ALONE)


def _twice(shard_id: ShardId, given: Sequence[Choice]) -> Refused:
    names = " and ".join(dict.fromkeys(one.file for one in given))
    return Refused(
        f"{names} both hold shard {shard_id}",
        f"say which replica to take: {shard_id}={given[0].file}",
    )


def documented_entry(name: str, contents: Sequence[Contents]) -> CollectionEntry | None:
    """The collection that the snapshots of whole collections describe; None, if none is one.

    Raises: Refused, if they differ, or are of another kind.
    """
    found: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {}
    for one in contents:
        if CONFIG in one.documents:
            found[one.file] = _documents_of(one)
    if not found:
        return None
    (first, known), *others = found.items()
    for file, documents in others:
        for what, mine, theirs in zip(_PARTS, known, documents, strict=True):
            if mine != theirs:
                keys = sorted(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
                raise Refused(
                    f"{first} and {file} differ in the {what}: {', '.join(keys[:_SHOWN])}",
                    f"they are not of one state of the collection; {_TAKE}",
                )
    config, schema, keys = known
    uuid = str(config.pop("uuid", None) or "")
    info = {"config": config, "payload_schema": {f: _index(one) for f, one in schema.items()}}
    return entry_of(name, info, tuple(keys.values()), uuid)


_PARTS = ("configuration", "payload indexes", "shard keys")


def _documents_of(
    contents: Contents,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, tuple[str | int, tuple[ShardId, ...]]]]:
    """Configuration, payload indexes and shard keys, the last by a text of the key."""
    config = _json(contents, CONFIG, Any, None)
    if not isinstance(config, dict) or not isinstance(config.get("params"), dict):
        mapping = "collections_mapping" in config if isinstance(config, dict) else False
        what = "of a whole storage" if mapping else "not of a collection"
        raise Refused(f"{contents.file} is a snapshot {what}", f"{_TAKE}, and give those files")
    schema = _json(contents, INDEXES, _Indexes, _Indexes()).schema or {}
    mapping = _json(contents, KEYS, dict[str, list[ShardId]] | list[_Key], [])
    pairs = (
        mapping.items()
        if isinstance(mapping, dict)
        else [(one.key, one.shard_ids) for one in mapping]
    )
    return config, schema, {repr(key): (key, tuple(sorted(ids))) for key, ids in pairs}


def _json(contents: Contents, path: str, kind: Any, missing: Any) -> Any:
    data = contents.documents.get(path)
    if data is None:
        return missing
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Refused(f"{contents.file}: {path} cannot be read: {error}", _TAKE) from error


def _index(schema: Any) -> dict[str, Any]:
    """A payload index as `GET /collections/{name}` shows it."""
    if isinstance(schema, str):
        return {"data_type": schema}
    return {"data_type": schema.get("type"), "params": schema}


def described_entry(name: str, described: Any) -> CollectionEntry:
    """The collection that the answer of `GET /collections/{name}`, or a part of it, describes.

    Raises: Invalid.
    """
    found = described.get("result", described) if isinstance(described, dict) else None
    info = found if isinstance(found, dict) and "config" in found else {"config": found}
    config = info["config"]
    if not isinstance(config, dict) or not isinstance(config.get("params"), dict):
        raise Invalid(
            "--config is not the configuration of a collection",
            "give the answer of GET /collections/NAME",
        )
    if config["params"].get("sharding_method") == "custom":
        raise Invalid(
            "--config does not say which shards its shard keys have",
            "give snapshots of the whole collection, or --like",
        )
    return entry_of(name, {key: info[key] for key in ("config", "payload_schema") if key in info})


def entry_of(
    name: str,
    info: dict[str, Any],
    keys: Sequence[tuple[str | int, tuple[ShardId, ...]]] = (),
    uuid: str = "",
) -> CollectionEntry:
    """The collection of this configuration.

    Raises: Refused, if it has no shards, or one twice; Invalid, if it is none.
    """
    check_described(info)
    params = info["config"]["params"]
    _check_vectors(params.get("vectors") or {})
    if shape_of(info["config"])["sharding_method"] == "custom":
        ids = sorted(one for _, mine in keys for one in mine)
    else:
        ids = [ShardId(one) for one in range(int(params.get("shard_number") or 1))]
    if not ids:
        raise Refused(f"collection {name!r} has no shards: no shard key was made yet", _TAKE)
    if len(set(ids)) < len(ids):
        raise Refused(f"a shard of {name!r} has two shard keys", _TAKE)
    return CollectionEntry(
        name=name, uuid=uuid, info=info, shard_ids=tuple(ids), shard_keys=tuple(keys)
    )


def _check_vectors(dense: Mapping[str, Any]) -> None:
    """Raises: Invalid, unless each has a size and a distance."""
    for name, one in named_vectors(dense).items():
        if not isinstance(one, dict) or not {"size", "distance"} <= one.keys():
            raise Invalid(
                f"vector {name!r} of the configuration has no size and distance", "see --config"
            )
        if not isinstance(one.get("multivector_config") or {}, dict):
            raise Invalid(f"vector {name!r} of the configuration has odd multivectors")


def check_choice(entry: CollectionEntry, chosen: Sequence[Choice]) -> None:
    """Raises: Refused, unless the files give exactly the shards of the collection."""
    have, want = {one.shard_id for one in chosen}, set(entry.shard_ids)
    if want - have:
        lacks = ", ".join(map(str, sorted(want - have)))
        raise Refused(
            f"no file holds shard {lacks} of the {len(want)} of {entry.name!r}",
            f"a snapshot holds what its node has; {_TAKE}",
        )
    if have - want:
        strays = ", ".join(map(str, sorted(have - want)))
        raise Refused(
            f"shard {strays} is not among the {len(want)} of {entry.name!r}",
            "give another configuration with --config or --like, or leave its file out",
        )


def check_alike(entry: CollectionEntry, documented: CollectionEntry | None) -> None:
    """Raises: Refused, if the files are of another kind of collection than is asked for."""
    if documented is None:
        return
    mine, theirs = shape_of(entry.info["config"]), shape_of(documented.info["config"])
    wrong = sorted(key for key in mine if mine[key] != theirs[key])
    if wrong:
        raise Refused(
            f"the snapshots differ from the given configuration in: {', '.join(wrong)}",
            "leave --config and --like out: the snapshots have their own",
        )
