"""Partial streams: what a manifest of our own making leaves out of a shard's tar."""

from __future__ import annotations

import json

import pytest

from cleancut.core.primitives.errors import CleancutError
from cleancut.qdrant.client import Qdrant
from tests.contract.qdrant.test_streams import members
from tests.contract.qdrant.world import World, points, read_stream

NEVER_OLDER = 2**63 - 1
MANIFEST = "segment_manifest.json"
ALWAYS = {MANIFEST, "segment.json", "version.info"}


def manifest_of(left_out: dict[str, list[str]]) -> bytes:
    """A manifest in which these files of each segment are newer than any."""
    return json.dumps(
        {
            segment: {
                "segment_id": segment,
                "segment_version": NEVER_OLDER,
                "file_versions": dict.fromkeys(paths, NEVER_OLDER),
            }
            for segment, paths in left_out.items()
        }
    ).encode()


async def read_partial(client: Qdrant, name: str, shard: int, known: bytes) -> bytes:
    async with client.stream_shard(name, shard, known=known) as chunks:
        return b"".join([chunk async for chunk in chunks])


def by_segment(found: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    """Contents by segment, then by path in it."""
    segments: dict[str, dict[str, bytes]] = {}
    for path, data in found.items():
        if path.startswith("segments/") and "/files/" in path:
            _, segment, _, inner = path.split("/", 3)
            segments.setdefault(segment, {})[inner] = data
    return segments


def test_exactly_what_is_listed_is_left_out(world: World) -> None:
    """All else comes as in a whole stream, and each segment begins with a list of all its files."""

    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(300)))
        host = (await world.hosts(name))[0][0]
        whole = members(await read_stream(host, name, 0))
        files = by_segment(whole)
        left_out = {
            segment: sorted(set(inner) - ALWAYS)[::2]
            for segment, inner in list(files.items())[:-1] or files.items()
        }
        partial = members(await read_partial(host, name, 0, manifest_of(left_out)))
        for segment, inner in by_segment(partial).items():
            assert next(iter(inner)) == MANIFEST
            listed = set(json.loads(inner.pop(MANIFEST))["file_versions"])
            assert listed == set(files[segment]) - ALWAYS
            wanted = set(files[segment]) - set(left_out.get(segment, ()))
            assert inner == {path: files[segment][path] for path in wanted}
        rest = {path for path in whole if not path.startswith("segments/")}
        assert rest == {path for path in partial if not path.startswith("segments/")}
        assert by_segment(partial).keys() == files.keys()

    world.run(check())


def test_segments_and_files_that_are_not_there_are_passed_over(world: World) -> None:
    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(100)))
        host = (await world.hosts(name))[0][0]
        files = by_segment(members(await read_stream(host, name, 0)))
        segment = next(iter(files))
        other = "00000000-0000-4000-8000-000000000000"
        known = manifest_of({segment: ["no/such/file"], other: ["vector_storage/x"]})
        partial = by_segment(members(await read_partial(host, name, 0, known)))
        assert {one: set(inner) - {MANIFEST} for one, inner in partial.items()} == {
            one: set(inner) for one, inner in files.items()
        }

    world.run(check())


def test_the_cut_is_that_of_the_first_byte(world: World) -> None:
    async def check() -> None:
        name = await world.create(shards=1)
        await world.upsert(name, points(range(300)))
        host = (await world.hosts(name))[0][0]
        async with host.stream_shard(name, 0, known=b"{}") as chunks:
            first = await anext(chunks)
            assert first.startswith(b"segments/")
            await world.upsert(name, points(range(1000, 1100)))
            tar = first + b"".join([chunk async for chunk in chunks])
        again = members(await read_partial(host, name, 0, b"{}"))
        cut = members(tar)
        assert any(cut.get(path) != data for path, data in again.items())

    world.run(check())


def test_a_manifest_of_more_than_two_mebibytes_is_refused(world: World) -> None:
    async def check() -> None:
        name = await world.create(shards=1)
        host = (await world.hosts(name))[0][0]
        segment = "00000000-0000-4000-8000-000000000000"
        known = manifest_of({segment: [f"{n:0100d}" for n in range(20_000)]})
        with pytest.raises(CleancutError) as caught:
            await read_partial(host, name, 0, known)
        # The connection may be closed while the body is still on its way.
        assert caught.value.context.get("status", 413) == 413

    world.run(check())


def test_a_shard_that_is_not_there_is_not_found(world: World) -> None:
    async def check() -> None:
        name = await world.create(shards=1)
        with pytest.raises(CleancutError) as caught:
            await read_partial(world.first, name, 77, b"{}")
        assert caught.value.reason == "NOT_FOUND"

    world.run(check())
