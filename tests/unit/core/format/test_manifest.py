"""Manifests: read back as written, complete or refused, judged from their raw numbers alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.format.manifest import (
    FORMAT,
    IMPORTED_FORMAT,
    UNHASHED_FORMAT,
    ClusterEntry,
    CollectionEntry,
    Manifest,
    ShardEntry,
    format_of,
    parse_manifest,
)
from cleancut.core.format.story import BackupStory
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Reading
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.fence import FencedAlias, FenceFacts, FenceSeen
from cleancut.core.protocol.trace import Trace
from tests.support.groups import SOUND

PATH = "prod/groups/000000000004.json"
FENCE = FenceFacts(
    aliases=(FencedAlias(alias="w", collection="a"),),
    hooked=("b",),
    seen=(FenceSeen(agent=AgentName("a1"), before=True, after=True),),
)
FIRST = Reading(number=5, incarnation="start", arrivals=0, state=SOUND)


def shard(name: str, number: int) -> ShardEntry:
    return ShardEntry(
        collection=name,
        shard_id=ShardId(number),
        peer_id=PeerId(1),
        agent="a1",
        recipe="ab" * 32,
        tar_sha256="cd" * 32,
        size_bytes=10,
        new_bytes=4,
        stored_bytes=3,
        first=FIRST,
        second=replace(FIRST, number=6),
        drained=True,
    )


def collection(name: str, shards: int) -> CollectionEntry:
    ids = tuple(ShardId(number) for number in range(shards))
    return CollectionEntry(
        name=name, uuid=f"uuid-{name}", info={"config": {"params": {}}, "x": 1}, shard_ids=ids
    )


def manifest(**changes: object) -> Manifest:
    whole = Manifest(
        format=FORMAT,
        cluster="prod",
        cluster_id="1",
        epoch=Epoch(4),
        operation=OperationId("op"),
        created_by="cleancut",
        cut_at="2026-01-01T00:00:00.000Z",
        skew_ms=7,
        collections=(collection("b", 1), collection("a", 2)),
        shards=(shard("a", 1), shard("a", 0), shard("b", 0)),
        source=ClusterEntry(qdrant_version="1.18.3", peers={"1": "http://p1"}, metadata={}),
        view="ef" * 32,
    )
    return replace(whole, **changes)


def check(changed: Manifest, error: type[Exception], *words: str) -> None:
    """Reading `changed` fails with `error`, and says these words."""
    with pytest.raises(error) as raised:
        parse_manifest(encode(changed), PATH)
    for word in words:
        assert word in str(raised.value)


def test_read_back_as_written() -> None:
    """The same manifest comes back, and gives the same bytes."""
    data = encode(manifest())
    assert parse_manifest(data, PATH) == manifest()
    assert encode(parse_manifest(data, PATH)) == data


def test_a_missing_or_doubled_shard_is_corrupt() -> None:
    """Exactly the shards that the collections name: not fewer, not more, none twice."""
    shards = manifest().shards
    check(manifest(shards=shards[1:]), Corrupt, "backup #4")
    check(manifest(shards=(*shards, shards[0])), Corrupt)
    check(manifest(shards=(*shards, shard("c", 0))), Corrupt)
    check(manifest(shards=(*shards[:2], shard("b", 1))), Corrupt)


def test_another_format_is_refused_with_a_hint() -> None:
    """A newer manifest is not misread, and not called broken."""
    check(manifest(format=IMPORTED_FORMAT + 1), Refused, f"format {IMPORTED_FORMAT + 1}", "newer")


def test_a_shard_without_a_sha256_has_a_format_of_its_own() -> None:
    """Readers of before would find its tar to be another one than was captured."""
    shards = manifest().shards
    unhashed = (replace(shards[0], tar_sha256=""), *shards[1:])
    assert (format_of(shards), format_of(unhashed)) == (FORMAT, UNHASHED_FORMAT)
    written = manifest(shards=unhashed, format=UNHASHED_FORMAT)
    assert parse_manifest(encode(written), PATH) == written


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format":1}', b'{"format":"1"}', b"\xff"])
def test_bytes_that_are_no_manifest_are_corrupt(data: bytes) -> None:
    """The failure names where they lie."""
    with pytest.raises(Corrupt, match="prod/groups"):
        parse_manifest(data, PATH)


@given(st.binary(max_size=60))
def test_no_bytes_do_other_harm(data: bytes) -> None:
    """Any bytes at all are Corrupt or Refused."""
    with pytest.raises((Corrupt, Refused)):
        parse_manifest(data, PATH)


@given(st.integers(0, 400))
def test_a_cut_off_manifest_is_corrupt(length: int) -> None:
    """A prefix is never taken for the whole."""
    with pytest.raises(Corrupt):
        parse_manifest(encode(manifest())[:length], PATH)


def test_the_consistency_comes_from_the_numbers() -> None:
    """Nobody has to be believed: one shard that moved makes the group bounded, whatever is said."""
    assert (manifest().consistency, manifest().fenced) == (Consistency.POINT_IN_TIME, False)
    assert manifest(fence=FENCE).fenced
    for changes in ({"second": replace(FIRST, number=7)}, {"drained": False}):
        moved = replace(shard("b", 0), **changes)
        shards = (*manifest().shards[:2], moved)
        found = manifest(shards=shards, fence=FENCE)
        assert (found.consistency, found.fenced) == (Consistency.PER_SHARD, False)


def test_collections_and_their_shards() -> None:
    """Found by name, shards by id; what is not there is NotFound."""
    assert manifest().collection("a").uuid == "uuid-a"
    assert [entry.shard_id for entry in manifest().shards_of("a")] == [0, 1]
    assert manifest().shards_of("c") == ()
    with pytest.raises(NotFound, match="no collection 'c'"):
        manifest().collection("c")


def test_collections_by_their_aliases() -> None:
    """A name that is both means the collection; each is named once."""
    restored = collection("docs@r-0123456789abcdef", 1)
    held = manifest(
        collections=(
            replace(restored, aliases=("docs", "live")),
            replace(collection("a", 2), aliases=("first",)),
        )
    )
    assert held.aliases == {"docs": restored.name, "live": restored.name, "first": "a"}
    assert held.named(["docs", "live", restored.name]) == (restored.name,)
    assert held.named(["first", "b", "a"]) == ("a", "b")
    assert held.named([]) == ()


@pytest.mark.parametrize(
    ("name", "aliases", "counted"),
    [
        ("docs", (), "docs"),
        ("docs", ("live",), "docs"),
        ("docs@r-0123456789abcdef", ("docs", "live"), "docs"),
        ("docs@r-0123456789abcdef", ("live",), "docs@r-0123456789abcdef"),
        ("docs@r-0123456789abcdef", (), "docs@r-0123456789abcdef"),
    ],
)
def test_what_a_collection_is_counted_as(name: str, aliases: tuple[str, ...], counted: str) -> None:
    """One that a restore has put in the place of another is counted as that."""
    assert replace(collection(name, 1), aliases=aliases).counted_as == counted


@pytest.mark.parametrize(
    "odd",
    [
        {"cut_at": "yesterday"},
        {"cut_at": ""},
        {"story": BackupStory(traces=(Trace(epoch=Epoch(4), began_at="2026-02-30T00:00:00Z"),))},
        *(
            {"collections": (replace(collection("b", 1), info=info), collection("a", 2))}
            for info in (
                {},
                {"config": []},
                {"config": {"params": {"vectors": "x"}}},
                {"config": {"params": {"vectors": {"size": "4", "distance": "Dot"}}}},
                {"config": {"params": {"vectors": {"a": None}}}},
                {"config": {"params": {"sparse_vectors": {"a": {"index": 1}}}}},
                {"config": {"params": {}, "wal_config": {"wal_capacity_mb": "32"}}},
                {"config": {"params": {}}, "payload_schema": {"n": "integer"}},
            )
        ),
        {
            "collections": (collection("b", 1), collection("b", 1)),
            "shards": (shard("b", 0), shard("b", 0)),
        },
    ],
)
def test_one_that_would_fail_its_readers_later_is_corrupt(odd: dict[str, object]) -> None:
    """Lists, metrics and retention read all of them: this one is shown as corrupt instead."""
    with pytest.raises(Corrupt, match="4"):
        parse_manifest(encode(manifest(**odd)), "groups/4.json")
