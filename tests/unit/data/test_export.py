"""`backup export`: the points of a backup in a file, from the store alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.points.columns import Kind, VectorColumn
from cleancut.core.wal.segments import build_segments, plan_segments
from cleancut.data.arrays import array_of, texts_of
from cleancut.repository.shards.rolled_tar import LogFile, with_log
from cleancut_devcluster.peer.engine.log_entries import encode_operation
from tests.support.recorded_backups import DOCS, RecordedStore, made_info, made_tar

UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
ALL_KINDS = {
    "vectors": {
        "image": {"size": 3, "distance": "Dot"},
        "pages": {
            "size": 2,
            "distance": "Dot",
            "multivector_config": {"comparator": "max_sim"},
        },
    },
    "sparse_vectors": {"words": {}},
    "sharding_method": "custom",
}
WHOLE = {
    "id": 7,
    "payload": {"n": 9007199254740993, "text": "é\n", "deep": {"list": [1, None, 2.5]}},
    "vector": {
        "image": [0.1, -1, 1e-7],
        "pages": [[1, 2], [3.5, 4]],
        "words": {"indices": [5, 4000000000], "values": [0.5, 2]},
    },
}
BARE = {"id": UUID, "payload": {}, "vector": {"image": [1, 2, 3]}}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedStore:
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    return RecordedStore(tmp_path)


@pytest.fixture
def recorded_store(store: RecordedStore) -> RecordedStore:
    store.publish_recorded(1, "t0")
    return store


def exported(store: RecordedStore, out: Path, *more: str) -> list[dict[str, Any]]:
    """The lines that `backup export` writes."""
    verb = ["backup", "export", "1", "-c", DOCS, "--format", "jsonl", "--out", str(out)]
    assert run([*store.flags, *verb, *more]) == Exit.OK
    return [json.loads(line) for line in out.read_text().splitlines()]


def table_of(store: RecordedStore, out: Path, form: str, *more: str) -> Any:
    verb = ["backup", "export", "1", "-c", DOCS, "--format", form, "--out", str(out)]
    assert run([*store.flags, *verb, "--with-vectors", *more]) == Exit.OK
    if form == "parquet":
        return pq.read_table(out)
    with pa.memory_map(str(out)) as file:
        return pa.ipc.open_file(file).read_all()


def test_every_point_is_written_once_in_each_format(
    recorded_store: RecordedStore, tmp_path: Path
) -> None:
    lines = exported(recorded_store, tmp_path / "out.jsonl", "--with-vectors")
    assert sorted(one["id"] for one in lines) == list(range(3000))
    assert lines[0]["payload"] == {"tag": "t0", "n": 0}
    assert len(lines[0]["vector"]) == 32
    for form in ("parquet", "arrow"):
        table = table_of(recorded_store, tmp_path / f"out.{form}", form)
        assert table.schema.names == ["id", "payload", "vector"]
        assert table.schema.field("id").type == pa.uint64()
        assert table["id"].to_pylist() == [one["id"] for one in lines]
        assert [json.loads(one) for one in table["payload"].to_pylist()] == [
            one["payload"] for one in lines
        ]
        vector = pa.array(lines[17]["vector"], pa.float32()).to_pylist()
        assert table["vector"][17].as_py() == vector
    assert not list(tmp_path.glob(".out*"))


def test_what_is_given_selects_what_is_in_all_of_it(
    recorded_store: RecordedStore, tmp_path: Path
) -> None:
    (tmp_path / "ids").write_text("3,23\n43 44\n")
    (tmp_path / "filter").write_text('{"must": [{"key": "tag", "match": {"value": "t3"}}]}')
    ids, chosen = f"@{tmp_path / 'ids'}", f"@{tmp_path / 'filter'}"
    lines = exported(
        recorded_store, tmp_path / "a", "--ids", ids, "--ids", "63", "--filter", chosen
    )
    assert sorted(one["id"] for one in lines) == [3, 23, 43, 63]
    assert "vector" not in lines[0]
    assert not exported(recorded_store, tmp_path / "b", "--ids", "99999")
    assert len(exported(recorded_store, tmp_path / "c", "--filter", chosen)) == 150


def test_all_kinds_of_vectors_ids_and_shard_keys(store: RecordedStore, tmp_path: Path) -> None:
    first = made_tar(tmp_path / "a", ALL_KINDS, {"kind": "upsert", "points": [WHOLE, BARE]})
    second = made_tar(tmp_path / "b", ALL_KINDS, {"kind": "upsert", "points": [BARE]})
    store.publish(1, {1: first, 2: second}, made_info(ALL_KINDS), [("eu", (1,)), ("us", (2,))])
    lines = exported(store, tmp_path / "out", "--with-vectors")
    assert lines == [
        {**WHOLE, "shard_key": "eu"},
        {**BARE, "shard_key": "eu"},
        {**BARE, "shard_key": "us"},
    ]
    only = exported(store, tmp_path / "us", "--shard-key", "us", "--ids", UUID)
    assert only == [{"id": UUID, "payload": {}, "shard_key": "us"}]
    table = table_of(store, tmp_path / "table", "parquet")
    assert table["id"].to_pylist() == ["7", UUID, UUID]
    assert table["shard_key"].to_pylist() == ["eu", "eu", "us"]
    assert table["vector.pages"].to_pylist() == [[[1, 2], [3.5, 4]], None, None]
    assert table["vector.words"].to_pylist() == [WHOLE["vector"]["words"], None, None]  # type: ignore[index]
    assert table.schema.field("vector.image").type == pa.list_(pa.float32(), 3)


def test_payloads_as_structs(store: RecordedStore, tmp_path: Path) -> None:
    """Their types are those of all shards together; what is of several kinds is JSON text."""
    body = {"vectors": {"size": 1, "distance": "Dot"}}
    payloads: list[dict[str, Any]] = [
        {"n": 1, "mixed": "a", "deep": {"list": [1, None]}, "only": True},
        {"n": 2.5, "mixed": [1], "deep": {"list": [], "other": "x"}},
    ]
    tars = {
        at: made_tar(
            tmp_path / f"{at}",
            body,
            {"kind": "upsert", "points": [{"id": at, "vector": [1], "payload": payload}]},
        )
        for at, payload in enumerate(payloads)
    }
    store.publish(1, tars, made_info(body))
    found = table_of(store, tmp_path / "out", "parquet", "--payload", "struct")
    assert found["payload"].to_pylist() == [
        {"n": 1.0, "mixed": '"a"', "deep": {"list": [1, None], "other": None}, "only": True},
        {"n": 2.5, "mixed": "[1]", "deep": {"list": [], "other": "x"}, "only": None},
    ]


def test_numbers_of_vectors_have_a_point_or_an_exponent() -> None:
    """Qdrant takes `[[1,2],[3.5,4]]` for a sparse vector."""
    column = VectorColumn("", Kind.MULTI, 2)
    rows = [[[1, -0.0], [3.5, 1e20]], None, [[float("inf"), 1e-7], [16777216, 0.1]]]
    assert texts_of(column, array_of(column, rows)) == [
        "[[1.0,-0.0],[3.5,1e+20]]",
        None,
        "[[null,1e-7],[16777216.0,0.1]]",
    ]


def test_a_stored_log_is_replayed(store: RecordedStore, tmp_path: Path) -> None:
    """Of a backup that was rolled forward: upserts, deletions and payloads after the cut count."""
    body = {"vectors": {"size": 2, "distance": "Dot"}}
    points = [{"id": at, "vector": [at, 1], "payload": {"n": at}} for at in range(1, 6)]
    tar = made_tar(tmp_path / "cut", body, {"kind": "upsert", "points": points})
    entries = [
        encode_operation(one)
        for one in (
            {"kind": "upsert", "points": [{"id": 9, "vector": [9, 9], "payload": {"n": 9}}]},
            {"kind": "delete", "ids": [1, 2]},
            {"kind": "set_payload", "payload": {"n": 30}, "ids": [3], "key": None},
        )
    ]
    plans = plan_segments([len(one) for one in entries], 2)
    segments = [(one.name, b"".join(one.chunks)) for one in build_segments(plans, iter(entries))]
    store.publish(1, {0: asyncio.run(_rolled(tar, segments))}, made_info(body))
    lines = exported(store, tmp_path / "out", "--with-vectors")
    assert [(one["id"], one["payload"]["n"]) for one in lines] == [(3, 30), (4, 4), (5, 5), (9, 9)]


async def _rolled(tar: bytes, segments: list[tuple[str, bytes]]) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        yield tar

    async def log() -> list[LogFile]:
        return [LogFile(name, len(data), lambda data=data: iter([data])) for name, data in segments]

    return b"".join([piece async for piece in with_log(chunks(), log) if isinstance(piece, bytes)])


def test_a_damaged_backup_leaves_no_file(recorded_store: RecordedStore, tmp_path: Path) -> None:
    for pack in recorded_store.root.glob("prod/packs/**/*"):
        if pack.is_file():
            pack.write_bytes(bytes(pack.stat().st_size))
    verb = ["backup", "export", "1", "-c", DOCS, "--format", "arrow", "--out"]
    assert run([*recorded_store.flags, *verb, str(tmp_path / "out")]) == Exit.CORRUPT
    assert not [one for one in tmp_path.iterdir() if "out" in one.name]


def test_a_file_of_ids_may_begin_with_the_mark_of_its_encoding(
    recorded_store: RecordedStore, tmp_path: Path
) -> None:
    """Some editors and shells write it."""
    ids, out = tmp_path / "ids", tmp_path / "out"
    ids.write_bytes(b"\xef\xbb\xbf1\r\n3\r\n")
    verb = ["backup", "export", "1", "-c", DOCS, "--format", "jsonl", "--out", str(out)]
    assert run([*recorded_store.flags, *verb, "--ids", f"@{ids}"]) == Exit.OK
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [1, 3]


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--ids", "x"], Exit.USAGE, "'x' is not a point id"),
        (["--ids", "@/nowhere"], Exit.USAGE, "cannot read '/nowhere'"),
        (["--ids", ","], Exit.USAGE, "names no id"),
        (["--filter", '{"must": ['], Exit.USAGE, "is not JSON"),
        (["--filter", "[]"], Exit.USAGE, "is not a JSON object"),
        (["--filter", '{"most": []}'], Exit.USAGE, "unknown field 'most'"),
        (
            ["--filter", '{"must": [{"key": "a", "match": {"vlaue": 1}}]}'],
            Exit.USAGE,
            "must[0].match has an unknown field 'vlaue'",
        ),
        (
            ["--filter", '{"must": [{"key": "a"}]}'],
            Exit.USAGE,
            "must[0] has a key and no condition",
        ),
        (["--shard-key", "eu"], Exit.USAGE, "has no shard keys"),
        (["--out", "/"], Exit.REFUSED, "exists"),
        (["--out", "/nowhere/x"], Exit.REFUSED, "does not exist"),
        (["--out", "/tmp/" + "x" * 300], Exit.REFUSED, "cannot write /tmp/xxx"),
        (["-c", "dosc"], Exit.NOT_FOUND, "no collection 'dosc'"),
    ],
)
def test_what_is_wrong_is_said_before_a_shard_is_read(
    recorded_store: RecordedStore,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    more: list[str],
    code: Exit,
    said: str,
) -> None:
    out = str(tmp_path / "out")
    verb = ["backup", "export", "1", "-c", DOCS, "--format", "jsonl", "--out", out]
    assert run([*recorded_store.flags, *verb, *more]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "hint: " in error
    assert not Path(out).exists()
