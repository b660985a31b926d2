"""Shards built from those of a backup: every point lies where the ring says, as it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.cluster.hash_ring import HashRing, point_id
from cleancut.core.format.manifest import Manifest
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.protocol.requests import ShardNumber
from cleancut.data.resharding import (
    EPOCH,
    OfflineRequest,
    OfflineReshard,
    copy_name,
    plan_offline,
    remove_copy,
)
from cleancut.runtime.clock import SystemClock
from cleancut.store.key_source import NO_KEYS
from cleancut.store.open import open_both
from tests.support.recorded_backups import DOCS, RecordedStore, made_info, made_tar
from tests.unit.data.test_export import ALL_KINDS, BARE, WHOLE

PROD = ClusterName("prod")


def reshard(
    store: RecordedStore, scratch: Path, *numbers: tuple[str, int], needed_bytes: int = 0
) -> tuple[ClusterName, Manifest]:
    """The copy's folder and manifest."""
    target = copy_name(PROD)
    asked = tuple(ShardNumber(of=of, shards=shards) for of, shards in numbers)

    scratch.mkdir()

    async def make() -> Manifest:
        opened = open_both(f"file://{store.root}", SystemClock(), NO_KEYS)
        plan = await plan_offline(opened.store, Paths(PROD), OfflineRequest("1", (), asked))
        plan = replace(plan, scratch_bytes=needed_bytes or plan.scratch_bytes)
        sides = Paths(PROD), Paths(target)
        work = OfflineReshard(
            opened, NO_KEYS, *sides, plan=plan, scratch=scratch, jobs=1, notice=print
        )
        return await work.run()

    return target, asyncio.run(make())


def exported(store: RecordedStore, cluster: str, out: Path, *flags: str) -> list[dict[str, Any]]:
    """The points of the only backup of `cluster`, by id."""
    where = ["--store", f"file://{store.root}", "--cluster", cluster]
    asked = ["backup", "export", "1", "-c", DOCS, "--format", "jsonl", "--with-vectors"]
    assert run([*asked, "--out", str(out), *flags, *where]) == Exit.OK
    points = [json.loads(line) for line in out.read_text().splitlines()]
    return sorted(points, key=lambda point: (str(point.get("shard_key")), str(point["id"])))


def ids_of(points: Sequence[dict[str, Any]]) -> list[Any]:
    return [point["id"] for point in points]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedStore:
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    return RecordedStore(tmp_path)


def test_a_recorded_backup_gets_five_shards(store: RecordedStore, tmp_path: Path) -> None:
    """Shards of a real Qdrant: nothing is lost, doubled or changed, and the copy is removed as a
    whole."""
    store.publish_recorded(1, "t0")
    target, made = reshard(store, tmp_path / "scratch", ("", 5))
    assert [one.shard_id for one in made.shards] == [0, 1, 2, 3, 4]
    assert sum(one.count or 0 for one in made.shards) == 3000
    before, after = (exported(store, name, tmp_path / f"{name}.jsonl") for name in (PROD, target))
    assert after == before
    owners = HashRing(range(5)).shards_of([point_id(one) for one in ids_of(before)])
    counts = [owners.count(shard) for shard in range(5)]
    assert counts == [one.count for one in made.shards]

    opened = open_both(f"file://{store.root}", SystemClock(), NO_KEYS)
    asyncio.run(remove_copy(opened.store, Paths(target)))
    assert [one.name for one in store.root.iterdir()] == [PROD]


def test_every_kind_of_vector_and_id_under_shard_keys(store: RecordedStore, tmp_path: Path) -> None:
    """Two shards of a key become one, which other ids follow; the other key is built again."""
    upsert = {"kind": "upsert", "points": [WHOLE, BARE]}
    other = {"kind": "upsert", "points": [WHOLE | {"payload": {"n": 1}}]}
    tars = {
        at: made_tar(tmp_path / f"tar-{at}", ALL_KINDS, one)
        for at, one in ((1, upsert), (2, {"kind": "upsert", "points": []}), (3, other))
    }
    store.publish(1, tars, made_info(ALL_KINDS), keys=[("eu", (1, 2)), ("us", (3,))])
    target, made = reshard(store, tmp_path / "scratch", ("eu", 1))
    assert made.collections[0].shard_keys == (("eu", (1,)), ("us", (2,)))
    before, after = (exported(store, name, tmp_path / f"{name}.jsonl") for name in (PROD, target))
    assert after == before
    assert len(after) == 3
    assert EPOCH == 1


def test_an_id_in_two_shards_is_not_made_one(store: RecordedStore, tmp_path: Path) -> None:
    """Which of them is right is not known here."""
    one = {"kind": "upsert", "points": [{"id": 1, "payload": {}, "vector": [1.0, 2.0]}]}
    body = {"vectors": {"size": 2, "distance": "Dot"}}
    tars = {at: made_tar(tmp_path / f"tar-{at}", body, one) for at in (0, 1)}
    store.publish(1, tars, made_info(body))
    with pytest.raises(Corrupt, match="more than one shard"):
        reshard(store, tmp_path / "scratch", ("", 3))


def test_too_little_scratch_is_refused_before_anything_is_put(
    store: RecordedStore, tmp_path: Path
) -> None:
    store.publish_recorded(1, "t0")
    with pytest.raises(Refused, match="bytes are needed"):
        reshard(store, tmp_path / "scratch", ("", 5), needed_bytes=1 << 60)
    assert [one.name for one in store.root.iterdir()] == [PROD]
