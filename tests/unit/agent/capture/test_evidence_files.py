"""Records of evidence in the agent's directory."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from cleancut.core.capture.evidence import Circumstances, Evidence, encode_evidence, evidence_of
from cleancut.core.capture.proof import FileState
from cleancut.core.primitives.ids import Digest
from cleancut_agent.capture.evidence_files import EvidenceFiles

HERE = Circumstances("boot", 7, 30, "start", 1000)


def record(collection: str = "c", shard_id: int = 0, recipe: str = "a") -> Evidence:
    files = {"s/x": FileState(1, 2, 3, 4, 5, 6, 1)}
    return evidence_of((collection, shard_id), Digest(recipe), HERE, files)


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory / "evidence"))


@pytest.mark.parametrize("collection", ["c", "ä" * 100, "a/../../b", "", "x\n", "c/0"])
def test_the_last_record_of_a_shard_is_read_back(tmp_path: Path, collection: str) -> None:
    files = EvidenceFiles(tmp_path)
    assert files.read(collection, 3) is None
    files.put(record(collection, 3, "old"))
    files.put(record(collection, 3, "new"))
    found = files.read(collection, 3)
    assert found is not None
    assert found.recipe == "new"
    assert files.read(collection, 4) is None
    assert len(names(tmp_path)) == 1
    files.drop(collection, 3)
    assert files.read(collection, 3) is None


def test_damaged_and_exchanged_records_are_absent(tmp_path: Path) -> None:
    files = EvidenceFiles(tmp_path)
    files.put(record())
    (name,) = names(tmp_path)
    file = tmp_path / "evidence" / name
    for data in (b"", encode_evidence(record())[:-1], encode_evidence(record("other"))):
        file.write_bytes(data)
        assert files.read("c", 0) is None
    file.unlink()
    file.mkdir()
    assert files.read("c", 0) is None
    files.put(record())  # fails in silence
    files.drop("c", 0)


def test_a_record_without_files_removes_the_one_before(tmp_path: Path) -> None:
    files = EvidenceFiles(tmp_path)
    files.put(record())
    files.put(msgspec.structs.replace(record(), files={}))
    assert files.read("c", 0) is None


def test_old_records_and_what_a_killed_process_was_at_are_forgotten(tmp_path: Path) -> None:
    files = EvidenceFiles(tmp_path)
    for shard_id in range(3):
        files.put(record(shard_id=shard_id))
    (tmp_path / "evidence" / "killed.new").write_bytes(b"x")
    files.forget(0)
    assert [files.read("c", one) is not None for one in range(3)] == [True, True, True]
    assert len(names(tmp_path)) == 3
    files.forget(time.time() + 60)
    assert names(tmp_path) == []


def test_the_number_of_records_is_bounded(tmp_path: Path) -> None:
    files = EvidenceFiles(tmp_path, most=2)
    for shard_id in range(4):
        files.put(record(shard_id=shard_id))
    assert len(names(tmp_path)) == 2
    files.put(record(shard_id=1, recipe="newer"))
    found = files.read("c", 1)
    assert found is not None
    assert found.recipe == "newer"


def test_a_directory_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_bytes(b"")
    files = EvidenceFiles(tmp_path)
    files.put(record())
    assert files.read("c", 0) is None
    files.forget(0)
