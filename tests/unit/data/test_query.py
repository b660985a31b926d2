"""`backup query`: a backup is searched without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from tests.support.capturing import RECORDED
from tests.support.recorded_backups import DOCS, RecordedStore, made_info, made_tar

NAMED = {
    "vectors": {"near": {"size": 2, "distance": "Euclid"}},
    "sparse_vectors": {"words": {}},
    "sharding_method": "custom",
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedStore:
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    return RecordedStore(tmp_path)


def answer(store: RecordedStore, capsys: pytest.CaptureFixture[str], *more: str) -> Any:
    capsys.readouterr()
    verb = ["backup", "query", "1", "-c", DOCS, "-o", "json"]
    assert run([*store.flags, *verb, *more]) == Exit.OK
    return json.loads(capsys.readouterr().out)["answer"]


def ids(found: Any) -> list[Any]:
    return [hit["id"] for hit in found["hits"]]


def test_it_answers_as_the_real_server_did(
    store: RecordedStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The recorded searches were exact, over both shards."""
    store.publish_recorded(1, "t0")
    for recorded in json.loads((RECORDED / "t0.json").read_bytes())["queries"][:2]:
        vector = tmp_path / "vector"
        vector.write_text(json.dumps(recorded["vector"]))
        assert ids(answer(store, capsys, "--vector", f"@{vector}")) == recorded["top10"]


@pytest.mark.parametrize("number", ["1e39", "-1e39", "1" + "0" * 400])
def test_a_number_beyond_32_bits_is_invalid(
    store: RecordedStore, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    """Qdrant would take it for an infinite one: nothing is near, and nothing would be said."""
    store.publish(1, {0: made_tar(store.root.parent / "a", NAMED)}, made_info(NAMED))
    for using, vector in (
        ("near", f"[{number}, 1]"),
        ("words", f'{{"indices": [3], "values": [{number}]}}'),
    ):
        verb = ["backup", "query", "1", "-c", DOCS, "--using", using, "--vector", vector]
        assert run([*store.flags, *verb]) == Exit.USAGE
        assert "its numbers have 32 bits" in capsys.readouterr().err


def test_by_a_point_and_a_filter(store: RecordedStore, capsys: pytest.CaptureFixture[str]) -> None:
    """The point itself is no answer; the nearest come first also where low scores are near."""
    points = [
        {"id": at, "vector": {"near": [at, 0]}, "payload": {"even": at % 2 == 0}} for at in range(6)
    ]
    words = {"words": {"indices": [3], "values": [2.0]}}
    other = [{"id": 3, "vector": {"near": [3.5, 0], **words}, "payload": {}}]
    root = store.root.parent
    tars = {
        1: made_tar(root / "a", NAMED, {"kind": "upsert", "points": points}),
        2: made_tar(root / "b", NAMED, {"kind": "upsert", "points": other}),
    }
    store.publish(1, tars, made_info(NAMED), [("eu", (1,)), ("us", (2,))])
    like = ["--using", "near", "--limit", "3", "--id", "4"]
    found = answer(store, capsys, *like)
    assert [(hit["id"], hit["shard_key"]) for hit in found["hits"]] == [
        (3, "us"),
        (3, "eu"),
        (5, "eu"),
    ]
    even = '{"must": [{"key": "even", "match": {"value": true}}]}'
    assert ids(answer(store, capsys, *like, "--filter", even)) == [2, 0]
    assert ids(answer(store, capsys, *like, "--shard-key", "us", "--id", "3")) == []
    sparse = '{"indices": [3, 9], "values": [1, 1]}'
    found = answer(store, capsys, "--using", "words", "--vector", sparse)
    assert [(hit["id"], hit["score"]) for hit in found["hits"]] == [(3, 2.0)]
    verb = [*store.flags, "backup", "query", "1", "-c", DOCS, "--using", "near"]
    assert run([*verb, "--id", "3"]) == Exit.USAGE
    assert "is under 2 shard keys" in capsys.readouterr().err
    assert run([*verb, "--id", "99"]) == Exit.NOT_FOUND


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "either --vector or --id"),
        (["--vector", "[1, 2"], "not JSON"),
        (["--vector", "[1, 2]"], "it has 2 numbers, 32 are needed"),
        (["--vector", '["a"]'], "not a list of numbers"),
        (["--id", "1", "--using", "x"], "has no vector 'x'"),
        (["--id", "1", "--filter", '{"nust": []}'], "unknown field 'nust'"),
    ],
)
def test_what_is_wrong_is_said_before_a_shard_is_read(
    store: RecordedStore, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    store.publish_recorded(1, "t0")
    assert run([*store.flags, "backup", "query", "1", "-c", DOCS, *more]) == Exit.USAGE
    error = capsys.readouterr().err
    assert said in error
    assert "read" not in error.partition(said)[0]
