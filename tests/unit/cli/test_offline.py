"""A catalog is read from a store alone; a shard's tar comes out as it went in."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.format.manifest import (
    FORMAT,
    ClusterEntry,
    CollectionEntry,
    Manifest,
    ShardEntry,
)
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Reading
from cleancut.repository.shards.capture import CapturedShard
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from tests.support.capturing import PATHS, capture, shard_tar
from tests.support.groups import SOUND

TAR = shard_tar({"payload": random.Random(1).randbytes(500_000), "empty": b""})


class Shelf:
    """A file store with groups of one shard each, and the flags that name it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"
        self.root.mkdir()
        self.url = f"file://{self.root}"
        self.flags = ["--store", self.url, "--cluster", "prod"]
        self._store = open_store(self.url, SystemClock())
        self.captured: CapturedShard = capture(self._store, folder / "spill", TAR)
        self.tar_sha256: str = self.captured.tar_sha256

    def publish(self, epoch: int, *, second: int = 6) -> None:
        asyncio.run(
            self._store.put(PATHS.group(Epoch(epoch)), encode(self._manifest(epoch, second)))
        )

    def delete(self, epoch: int) -> None:
        asyncio.run(self._store.put(PATHS.tombstone(Epoch(epoch)), b"{}"))

    def _manifest(self, epoch: int, second: int) -> Manifest:
        shard = ShardEntry(
            collection="books",
            shard_id=ShardId(0),
            peer_id=PeerId(7),
            agent="node-0",
            recipe=self.captured.recipe_digest,
            tar_sha256=self.tar_sha256,
            size_bytes=self.captured.size_bytes,
            new_bytes=self.captured.new_bytes,
            stored_bytes=self.captured.stored_bytes,
            first=Reading(number=5, incarnation="s", arrivals=0, state=SOUND),
            second=Reading(number=second, incarnation="s", arrivals=0, state=SOUND),
            drained=True,
            count=3,
        )
        return Manifest(
            format=FORMAT,
            cluster="prod",
            cluster_id="c",
            epoch=Epoch(epoch),
            operation=OperationId(f"bk-{epoch}"),
            created_by="test",
            cut_at="2026-01-02T03:04:05Z",
            skew_ms=12,
            collections=(
                CollectionEntry(
                    name="books",
                    uuid="u",
                    info={"config": {"params": {}}},
                    shard_ids=(ShardId(0),),
                ),
            ),
            shards=(shard,),
            source=ClusterEntry(qdrant_version="1.18.3", peers={}, metadata={}),
            view="v",
        )


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


class Output:
    """What the program has written since the last look."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def json(self) -> Any:
        return json.loads(self._capsys.readouterr().out)

    def out(self) -> str:
        return self._capsys.readouterr().out

    def err(self) -> str:
        return self._capsys.readouterr().err


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    return Output(capsys)


def test_groups_are_listed_newest_first_without_deleted_ones(shelf: Shelf, output: Output) -> None:
    for epoch in (3, 10, 12):
        shelf.publish(epoch)
    shelf.delete(10)
    assert run([*shelf.flags, "backup", "list", "-o", "json"]) == Exit.OK
    assert [backup["epoch"] for backup in output.json()["backups"]] == [12, 3]
    assert run([*shelf.flags, "backup", "list", "--limit", "1", "-o", "json"]) == Exit.OK
    assert [backup["id"] for backup in output.json()["backups"]] == ["bk-12"]


@pytest.mark.parametrize("name", ["7", "bk-7"])
def test_a_group_is_shown_with_its_evidence(name: str, shelf: Shelf, output: Output) -> None:
    shelf.publish(7)
    assert run([*shelf.flags, "backup", "show", name, "-o", "json"]) == Exit.OK
    backup = output.json()["backup"]
    assert (backup["id"], backup["epoch"], backup["state"]) == ("bk-7", 7, "COMMITTED")
    assert backup["evidence"]["consistency"] == "point-in-time"
    assert backup["evidence"]["skew_ms"] == 12
    assert backup["evidence"]["shards"][0]["ops_after"] == 6
    assert backup["bytes"]["protected"] == len(TAR)


def test_the_consistency_is_recomputed_from_the_numbers(shelf: Shelf, output: Output) -> None:
    shelf.publish(7, second=9)
    assert run([*shelf.flags, "backup", "show", "7", "-o", "json"]) == Exit.OK
    evidence = output.json()["backup"]["evidence"]
    assert evidence["consistency"] == "per-shard"
    assert evidence["shards"][0]["unchanged"] is False


@pytest.mark.parametrize("hashed", [True, False])
def test_a_shard_comes_out_as_it_went_in(
    shelf: Shelf, output: Output, tmp_path: Path, *, hashed: bool
) -> None:
    """With the sha256 of what was written, also if the backup has none."""
    shelf.tar_sha256 = shelf.tar_sha256 if hashed else ""
    shelf.publish(7)
    target = tmp_path / "shard.tar"
    words = ["backup", "extract", "7", "-c", "books", "--shard", "0", "--out", str(target)]
    assert run([*shelf.flags, *words, "-o", "json"]) == Exit.OK
    assert target.read_bytes() == TAR
    assert output.json()["extracted"]["sha256"] == hashlib.sha256(TAR).hexdigest()
    assert run([*shelf.flags, *words]) == Exit.REFUSED  # nothing is overwritten
    assert "reason: REFUSED" in output.err()


@pytest.mark.parametrize("hashed", [True, False])
def test_a_damaged_pack_is_found_and_leaves_no_file(
    shelf: Shelf, output: Output, tmp_path: Path, *, hashed: bool
) -> None:
    shelf.tar_sha256 = shelf.tar_sha256 if hashed else ""
    shelf.publish(7)
    pack = next(path for path in (shelf.root / "prod" / "packs").rglob("*") if path.is_file())
    pack.chmod(0o644)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    folder = tmp_path / "out"
    folder.mkdir()
    words = ["backup", "extract", "7", "-c", "books", "--shard", "0", "--out", f"{folder}/s.tar"]
    assert run([*shelf.flags, *words]) == Exit.CORRUPT
    assert "reason: CORRUPT" in output.err()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show", "8"], Exit.NOT_FOUND),
        (["show", "bk-8"], Exit.NOT_FOUND),
        (["show", "²"], Exit.NOT_FOUND),
        (["show", "9" * 30], Exit.NOT_FOUND),
        (["extract", "7", "-c", "films", "--shard", "0", "--out", "x"], Exit.NOT_FOUND),
        (["extract", "7", "-c", "books", "--shard", "1", "--out", "x"], Exit.NOT_FOUND),
        (["extract", "7", "-c", "books", "--shard", "0", "--out", "/no/such/x"], Exit.REFUSED),
    ],
)
def test_what_is_not_there(words: list[str], code: Exit, shelf: Shelf, output: Output) -> None:
    shelf.publish(7)
    assert run([*shelf.flags, "backup", *words]) == code
    assert "error: " in output.err()


def test_the_only_cluster_of_a_store_need_not_be_named(shelf: Shelf, output: Output) -> None:
    shelf.publish(7)
    assert run(["--store", shelf.url, "backup", "list", "-o", "json"]) == Exit.OK
    assert [one["epoch"] for one in output.json()["backups"]] == [7]


def test_the_clusters_of_a_store_are_listed(shelf: Shelf, output: Output) -> None:
    shelf.publish(3)
    shelf.publish(7)
    (shelf.root / "other").mkdir()
    (shelf.root / "other" / "format.json").write_text("{}")
    assert run(["--store", shelf.url, "cluster", "list", "-o", "json"]) == Exit.OK
    assert output.json()["clusters"] == [
        {"cluster": "other", "backups": 0, "newest": None},
        {"cluster": "prod", "backups": 2, "newest": 7},
    ]
    assert run(["--store", shelf.url, "cluster", "list", "-o", "name"]) == Exit.OK
    assert output.out() == "other\nprod\n"


def test_a_store_that_a_flag_names_beats_a_coordinator_in_the_environment_and_says_so(
    shelf: Shelf, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.publish(3)
    monkeypatch.setenv("CLEANCUT_COORDINATOR", "127.0.0.1:1")
    assert run([*shelf.flags, "backup", "list"]) == Exit.OK
    assert "note: this reads the store that --store names" in output.err()
    assert run([*shelf.flags, "-q", "backup", "list"]) == Exit.OK
    assert output.err() == ""


def test_of_several_clusters_one_must_be_named(
    shelf: Shelf, output: Output, tmp_path: Path
) -> None:
    shelf.publish(7)
    (shelf.root / "staging").mkdir()
    (shelf.root / "staging" / "format.json").write_text("{}")
    assert run(["--store", shelf.url, "backup", "list"]) == Exit.USAGE
    error = output.err()
    assert "--cluster" in error
    assert "prod, staging" in error


@pytest.mark.parametrize("folder", ["lost+found", "Other_Things", "logs"])
def test_other_folders_in_a_store_are_no_clusters(
    folder: str, shelf: Shelf, output: Output
) -> None:
    """A disk has lost+found, a bucket what others keep in it: after a loss, nobody remembers."""
    shelf.publish(7)
    (shelf.root / folder).mkdir()
    (shelf.root / folder / "file").write_text("of others")
    assert run(["--store", shelf.url, "cluster", "list", "-o", "name"]) == Exit.OK
    assert output.out() == "prod\n"
    assert run(["--store", shelf.url, "backup", "list", "-o", "name"]) == Exit.OK


def test_values_for_agents_name_the_only_cluster_of_the_store(
    shelf: Shelf, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator in the environment is no matter."""
    monkeypatch.setenv("CLEANCUT_COORDINATOR", "127.0.0.1:1")
    shelf.publish(7)
    verb = ["agent", "values", "--etcd", "etcd:2379", "--store-claim", "backups"]
    assert run(["--store", shelf.url, *verb]) == Exit.OK
    assert "--cluster=prod" in output.out()
    assert output.err() == ""
    (shelf.root / "staging").mkdir()
    (shelf.root / "staging" / "format.json").write_text("{}")
    assert run(["--store", shelf.url, *verb]) == Exit.USAGE
    assert "prod, staging" in output.err()


@pytest.mark.parametrize("verb", [["list"], ["show", "latest"], ["verify", "latest"]])
def test_a_wrong_cluster_is_no_empty_table(shelf: Shelf, output: Output, verb: list[str]) -> None:
    """The answer names the clusters that there are."""
    shelf.publish(7)
    assert run(["--store", shelf.url, "--cluster", "prd", "backup", *verb]) == Exit.NOT_FOUND
    error = output.err()
    assert "'prd'" in error
    assert "it holds: prod" in error


def test_a_wrong_folder_is_no_empty_table(shelf: Shelf, output: Output) -> None:
    shelf.publish(7)
    flags = ["--cluster", "prod", "backup", "list"]
    assert run(["--store", f"{shelf.url}/typo", *flags]) == Exit.NOT_FOUND
    assert run(["--store", f"{shelf.url}/typo", "backup", "list"]) == Exit.NOT_FOUND


@pytest.mark.parametrize("named", [[], ["--cluster", "prod"]])
def test_a_url_that_ends_in_a_cluster_is_corrected(
    shelf: Shelf, output: Output, named: list[str]
) -> None:
    """The cluster's own folders are no clusters."""
    shelf.publish(7)
    code, err = run(["--store", f"{shelf.url}/prod", *named, "backup", "list"]), output.err()
    assert code == Exit.NOT_FOUND
    assert f"give --store {shelf.url} --cluster prod" in err


def test_a_misspelt_cluster_is_guessed(shelf: Shelf, output: Output) -> None:
    shelf.publish(7)
    code, err = run(["--store", shelf.url, "--cluster", "prd", "backup", "list"]), output.err()
    assert code == Exit.NOT_FOUND
    assert "did you mean 'prod'?" in err
