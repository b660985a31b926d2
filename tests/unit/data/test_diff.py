"""`backup diff`: what was added, removed and changed between two backups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from tests.support.recorded_backups import DOCS, RecordedStore, made_info, made_tar

UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
KINDS = {
    "vectors": {"size": 2, "distance": "Dot"},
    "sparse_vectors": {"words": {}},
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedStore:
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    return RecordedStore(tmp_path)


def found(
    store: RecordedStore, capsys: pytest.CaptureFixture[str], *more: str, code: Exit = Exit.OK
) -> Any:
    capsys.readouterr()
    assert run([*store.flags, "backup", "diff", "1", "2", "-o", "json", *more]) == code
    return json.loads(capsys.readouterr().out)["diff"]


def test_two_backups_of_a_real_server(
    store: RecordedStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second one was made after 3 points were deleted and 30 upserted with other vectors."""
    store.publish_recorded(1, "t0")
    store.publish_recorded(2, "t1")
    diff = found(store, capsys, "--ids", "--exit-code", code=Exit.FAILED)
    sums = {name: diff[name] for name in ("added", "removed", "changed", "unchanged")}
    assert sums == {"added": 0, "removed": 3, "changed": 30, "unchanged": 2967}
    (docs,) = diff["collections"]
    assert docs["collection"] == DOCS
    assert (docs["changed_vectors"], docs["changed_payloads"]) == (30, 30)
    assert len({one["id"] for one in docs["points"]}) == 33
    assert sum(one["change"] == "removed" for one in docs["points"]) == 3
    assert not diff["equal"]
    assert found(store, capsys, "--summary")["collections"] == []


def test_equal_shards_are_not_read(
    store: RecordedStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of their data is there any more, and the diff is made."""
    store.publish_recorded(1, "t0")
    store.publish_recorded(2, "t0")
    for pack in store.root.glob("prod/packs/**/*"):
        if pack.is_file():
            pack.unlink()
    diff = found(store, capsys, "--exit-code")
    assert diff["equal"]
    assert diff["unchanged"] is None
    assert diff["collections"][0]["equal_shards"] == 2


def test_points_of_every_kind_in_other_shards(
    store: RecordedStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One shard became two: all points are compared, and a sparse vector alone may differ."""
    words = {"indices": [3], "values": [0.5]}
    points = [
        {"id": 1, "vector": {"": [1, 2], "words": words}, "payload": {"a": 1, "b": 2}},
        {"id": 2, "vector": {"": [1, 2]}, "payload": {}},
        {"id": UUID, "vector": {"": [1, 2], "words": words}, "payload": {}},
    ]
    other = {"indices": [3], "values": [0.25]}
    moved = [
        {"id": 1, "vector": {"": [1, 2], "words": words}, "payload": {"b": 2, "a": 1}},
        {"id": UUID, "vector": {"": [1, 2], "words": other}, "payload": {}},
        {"id": 3, "vector": {"": [1, 2]}, "payload": {}},
    ]
    whole = made_tar(tmp_path / "a", KINDS, {"kind": "upsert", "points": points})
    halves = [
        made_tar(tmp_path / name, KINDS, {"kind": "upsert", "points": part})
        for name, part in (("b", moved[:1]), ("c", moved[1:]))
    ]
    store.publish(1, {0: whole}, made_info(KINDS))
    store.publish(2, dict(enumerate(halves)), made_info(KINDS))
    diff = found(store, capsys, "--ids", "-c", DOCS)
    assert [(one["change"], one["id"]) for one in diff["collections"][0]["points"]] == [
        ("removed", 2),
        ("added", 3),
        ("vector", UUID),
    ]
    assert diff["unchanged"] == 1


def test_unknown_names(store: RecordedStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.publish_recorded(1, "t0")
    assert run([*store.flags, "backup", "diff", "1", "9"]) == Exit.NOT_FOUND
    assert run([*store.flags, "backup", "diff", "1", "1", "-c", "dosc"]) == Exit.NOT_FOUND
    assert "'dosc'" in capsys.readouterr().err
