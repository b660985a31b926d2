"""Log of a stand-in's shard: files, retention and replay as in Qdrant."""

from __future__ import annotations

import asyncio
import random
import shutil
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
import qdrant_edge as edge

from cleancut.core.wal.kinds import KINDS, UNKNOWN
from cleancut.core.wal.operations import decode_operation
from cleancut.core.wal.segments import build_segments, plan_segments
from cleancut.core.wal.tail import Cause, WalEntry
from cleancut.engine.tar_format import tar_chunks
from cleancut_agent.wal.local_dir import LocalWalDir
from cleancut_agent.wal.shard_tail import ShardTail, TailBroken, read_acknowledged
from cleancut_devcluster.peer.engine.config import new_config
from cleancut_devcluster.peer.engine.errors import Problem
from cleancut_devcluster.peer.engine.shard import LocalShard
from cleancut_devcluster.peer.engine.shard_log import LogPlace, ShardLog

CONFIG = new_config({"vectors": {"size": 2, "distance": "Cosine"}}, 1)
UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
FILTER = {"must": [{"key": "a", "match": {"value": 1}}, {"has_id": [1, 2, UUID]}]}


@pytest.fixture
def log(tmp_path: Path) -> ShardLog:
    return ShardLog(tmp_path / "wal", capacity=256)


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[LocalShard]:
    one = opened(tmp_path)
    yield one
    one.close()


def opened(base: Path) -> LocalShard:
    return LocalShard(base / "data", CONFIG, LogPlace(base / "logs" / "wal", 512))


def tail_of(base: Path) -> ShardTail:
    return ShardTail.open(LocalWalDir(base / "logs" / "wal"))


def upsert(*ids: int | str) -> dict[str, Any]:
    points = [{"id": one, "vector": [1, 2.5], "payload": {"a": 1}} for one in ids]
    return {"kind": "upsert", "points": points, "clock": (7, 1)}


def apply(shard: LocalShard, *operations: dict[str, Any]) -> list[int]:
    async def run() -> list[int]:
        return [await shard.apply(one) for one in operations]

    return asyncio.run(run())


def test_a_tail_follows_it_through_rolls_reopens_and_removals(log: ShardLog) -> None:
    rng, expected = random.Random(1), []
    tail = ShardTail.open(LocalWalDir(log.directory))
    read: list[WalEntry] = []
    for step in range(300):
        data = rng.randbytes(rng.choice((1, 30, 90, 700)))
        expected.append(WalEntry(log.append(data), data))
        if step % 7 == 0:
            log.acknowledge(step - 3)
        if step % 11 == 0:
            log = ShardLog(log.directory, capacity=256)
        read += tail.poll()
    assert read == expected
    assert read_acknowledged(LocalWalDir(log.directory)) == 291
    names = {path.name for path in log.directory.iterdir()}
    assert sum(name.startswith("closed-") for name in names) < 12
    tail.close()


def test_one_closed_segment_stays_after_everything_is_acknowledged(log: ShardLog) -> None:
    for _ in range(20):
        log.append(b"x" * 60)
    log.acknowledge(1000)
    assert sum(one.name.startswith("closed-") for one in log.directory.iterdir()) == 1
    assert (log.first_index, log.next_index) == (15, 20)


def test_entries_dropped_from_it_break_a_tail(log: ShardLog) -> None:
    for back_to in (18, 16, 15, 3):
        while log.next_index < 20:
            log.append(bytes([back_to]) * 60)
        tail = ShardTail.open(LocalWalDir(log.directory))
        tail.poll()
        log.truncate(back_to)
        assert log.next_index == back_to
        log.append(b"y" * 60)
        assert ShardLog(log.directory, capacity=256).next_index == back_to + 1
        with pytest.raises(TailBroken) as broken:
            tail.poll()
        assert broken.value.cause is Cause.REWOUND


def test_every_operation_is_in_it_as_the_engine_writes_it(
    shard: LocalShard, tmp_path: Path
) -> None:
    """Compared with the engine's own log, in which an index is created twice, too."""
    operations = [
        upsert(1, 2, 3, UUID),
        {**upsert(4), "update_filter": FILTER},
        {"kind": "create_index", "field": "a", "schema": "integer"},
        {"kind": "update_vectors", "points": [{"id": 1, "vector": [2.5, 1]}]},
        {"kind": "set_payload", "payload": {"b": 2}, "ids": [1, UUID], "key": None},
        {"kind": "set_payload", "payload": {"b": 2}, "filter": FILTER, "key": None},
        {"kind": "overwrite_payload", "payload": {"b": 2}, "ids": [2], "key": None},
        {"kind": "delete_payload", "keys": ["b"], "ids": [2]},
        {"kind": "delete_payload", "keys": ["b"], "filter": FILTER},
        {"kind": "clear_payload", "ids": [2]},
        {"kind": "clear_payload", "filter": FILTER},
        {"kind": "delete_vectors", "names": [""], "ids": [2]},
        {"kind": "delete_vectors", "names": [""], "filter": FILTER},
        {"kind": "delete_index", "field": "a"},
        {"kind": "delete", "ids": [3]},
        {"kind": "delete", "filter": FILTER},
    ]
    numbers = apply(shard, *operations)
    mine = ShardTail.open(LocalWalDir(tmp_path / "logs" / "wal")).poll()
    engine = ShardTail.open(LocalWalDir(tmp_path / "data" / "data" / "wal")).poll()
    assert [one.index for one in mine] == [one.index for one in engine]
    assert mine[-1].index == numbers[-1] == shard.op_num == len(operations) + 2
    for one, other in zip(mine, engine, strict=True):
        ours = {key: body for key, body in cbor2.loads(one.data).items() if key != "clock_tag"}
        assert _plain(ours) == _plain(cbor2.loads(other.data)), one.index
        assert decode_operation(one.data).kind in KINDS - {UNKNOWN}
    assert decode_operation(mine[1].data).clock is not None


def _plain(value: Any) -> Any:
    """Without what is null, which one writer leaves out, uuids as text, and sets in one order."""
    if isinstance(value, dict):
        return {
            key: sorted(_plain(one), key=str) if key == "has_id" else _plain(one)
            for key, one in value.items()
            if one is not None
        }
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value))
    return [_plain(one) for one in value] if isinstance(value, list) else value


def test_refused_operations_are_not_in_it_and_late_failures_are(shard: LocalShard) -> None:
    assert apply(shard, upsert(1)) == [1]
    wrong = {"kind": "upsert", "points": [{"id": 2, "vector": [1, 2, 3]}]}
    with pytest.raises(Problem):
        apply(shard, wrong)
    assert shard.log.last_index == 1
    missing = {"kind": "set_payload", "payload": {"b": 1}, "ids": [99], "key": None}
    with pytest.raises(Problem):
        apply(shard, missing)
    assert (shard.log.last_index, shard.op_num) == (2, 1)
    assert apply(shard, upsert(2)) == [3]
    assert shard.truncate_log() == 0


def test_unapplied_entries_can_be_dropped(shard: LocalShard) -> None:
    apply(shard, upsert(1))
    shard.full.touch()
    with pytest.raises(Problem):
        apply(shard, upsert(2))
    shard.full.unlink()
    assert shard.log.last_index == 2
    assert shard.truncate_log() == 1
    assert apply(shard, upsert(3)) == [2]


def rolled(base: Path, shard: LocalShard, entries: list[bytes], first: int) -> Path:
    """What the shard is now, with another log, unpacked."""
    scratch, tar, unpacked = base / "scratch", base / "shard.tar", base / "unpacked"
    scratch.mkdir()
    tar.write_bytes(b"".join(tar_chunks(shard.cut(scratch))))
    with tarfile.open(tar) as archive:
        logs = [name for name in archive.getnames() if name.startswith("wal/")]
    assert logs == [f"wal/closed-{shard.log.next_index}"]
    edge.EdgeShard.unpack_snapshot(str(tar), str(unpacked))
    shutil.rmtree(unpacked / "wal")
    (unpacked / "wal").mkdir()
    plans = plan_segments(map(len, entries), first, 300)
    for segment in build_segments(plans, iter(entries)):
        (unpacked / "wal" / segment.name).write_bytes(b"".join(segment.chunks))
    return unpacked


def entries_after(shard: LocalShard, base: Path, count: int) -> tuple[list[bytes], Path]:
    """Operations after now, and the shard as it is now with them as its log."""
    first = shard.log.next_index
    copy = opened(base / "later")
    apply(copy, *(upsert(one) for one in range(1, first)))
    apply(copy, *(upsert(100 + one) for one in range(count)))
    found = [one.data for one in tail_of(base / "later").poll() if one.index >= first]
    copy.close()
    return found, rolled(base, shard, found, first)


def points_of(shard: LocalShard) -> int:
    async def count() -> int:
        return int((await shard.engine()).info().points_count)

    return asyncio.run(count())


def test_a_recover_replays_the_log_in_the_tar(shard: LocalShard, tmp_path: Path) -> None:
    apply(shard, *(upsert(one) for one in range(1, 6)))
    before = tail_of(tmp_path)
    before.poll()
    _, unpacked = entries_after(shard, tmp_path, 20)
    shard.replace(unpacked, {})
    assert (shard.op_num, points_of(shard)) == (25, 25)
    assert apply(shard, upsert(1000)) == [26]
    assert [one.index for one in tail_of(tmp_path).poll()] == list(range(6, 27))
    with pytest.raises(TailBroken) as broken:
        before.poll()
    assert broken.value.cause is Cause.REPLACED


def test_a_flipped_byte_ends_the_replay_without_an_error(shard: LocalShard, tmp_path: Path) -> None:
    """Only the number shows it: as Qdrant, it answers 200."""
    apply(shard, *(upsert(one) for one in range(1, 6)))
    _, unpacked = entries_after(shard, tmp_path, 20)
    last = max((unpacked / "wal").iterdir(), key=lambda one: int(one.name.split("-")[1]))
    data = bytearray(last.read_bytes())
    data[-20] ^= 1
    last.write_bytes(data)
    shard.replace(unpacked, {})
    assert shard.op_num == points_of(shard) < 25
    assert apply(shard, upsert(1000)) == [shard.op_num] == [points_of(shard)]


def test_a_hole_between_files_is_an_error_and_costs_the_data(
    shard: LocalShard, tmp_path: Path
) -> None:
    apply(shard, *(upsert(one) for one in range(1, 6)))
    _, unpacked = entries_after(shard, tmp_path, 20)
    files = sorted((unpacked / "wal").iterdir(), key=lambda one: int(one.name.split("-")[1]))
    files[1].unlink()
    with pytest.raises(Problem, match="missing segment") as problem:
        shard.replace(unpacked, {})
    assert problem.value.status == 500
    assert shard.damage


def test_a_shard_that_is_opened_again_goes_on_with_its_numbers(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    apply(shard, *(upsert(one) for one in range(1, 20)))
    shard.close()
    again = opened(tmp_path)
    assert again.op_num == 19
    assert apply(again, upsert(50)) == [20]
    assert [one.index for one in tail_of(tmp_path).poll()] == list(range(21))
    again.close()


def test_a_log_repairs_the_deletes_that_a_tar_of_an_optimization_lacks(
    shard: LocalShard, tmp_path: Path
) -> None:
    """It is not acknowledged beyond the optimization's begin, so its entries are all there."""
    apply(shard, *(upsert(one) for one in range(1, 6)))
    shard.flush()
    (shard.directory / "optimizing").touch()
    apply(shard, {"kind": "delete", "ids": [1, 2]}, upsert(50))
    shard.flush()
    first = read_acknowledged(LocalWalDir(tmp_path / "logs" / "wal"))
    assert first == 5
    entries = [one.data for one in tail_of(tmp_path).poll() if one.index >= first]
    unpacked = rolled(tmp_path, shard, entries, first)
    without = tmp_path / "without"
    shutil.copytree(unpacked, without)
    shutil.rmtree(without / "wal")
    (without / "wal").mkdir()
    (segment,) = build_segments(plan_segments([], 8), iter(()))
    (without / "wal" / segment.name).write_bytes(b"".join(segment.chunks))
    shard.replace(without, {})
    assert points_of(shard) == 6
    shard.replace(unpacked, {})
    assert (points_of(shard), shard.op_num) == (4, 7)
