"""Known damage as users meet it, from the store alone: states, `latest`, what clears it."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.format.manifest import AgentDocument
from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.repository.bounded import MAX_DOCUMENT_BYTES
from cleancut.repository.catalog import put_staged, put_votes_document
from cleancut.repository.verification_log import list_checks, newest_good, read_damage
from tests.support.capturing import PATHS, capture, shard_tar
from tests.unit.cli.test_offline import Output, Shelf


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    return Output(capsys)


class Shelves:
    """Two backups that share no data: 3, and 7 whose pack can be damaged."""

    def __init__(self, folder: Path) -> None:
        self.shelf = Shelf(folder)
        self.root, self.flags = self.shelf.root, self.shelf.flags
        self.store = self.shelf._store
        self.publish(7)
        self.first, self.spill = self.shelf.captured.recipe_digest, folder / "spill"
        (self.pack,) = (path for path in self.root.glob("prod/packs/**/*") if path.is_file())
        self.whole = self.pack.read_bytes()
        other = shard_tar({"payload": random.Random(2).randbytes(300_000)})
        self.shelf.captured = capture(self.store, folder / "spill", other)
        self.shelf.tar_sha256 = self.shelf.captured.tar_sha256
        self.publish(3)

    def publish(self, epoch: int) -> None:
        """As the protocol leaves a group, with the documents that prove it."""
        manifest = self.shelf._manifest(epoch, 6)
        undrained = tuple(replace(shard, drained=False) for shard in manifest.shards)
        document = AgentDocument(epoch=Epoch(epoch), agent=AgentName("node-0"), shards=undrained)
        asyncio.run(put_votes_document(self.store, PATHS, document))
        asyncio.run(put_staged(self.store, PATHS, Epoch(epoch), manifest))
        self.shelf.publish(epoch)

    def publish_sharing(self, epoch: int) -> None:
        """A backup of the shard of 7 after a change: its recipe is another one, the pack is not."""
        payload = random.Random(1).randbytes(500_000)
        changed = shard_tar({"payload": payload, "empty": b"", "more": b"m" * 70_000})
        self.shelf.captured = capture(self.store, self.spill, changed, self.first)
        self.shelf.tar_sha256 = self.shelf.captured.tar_sha256
        self.publish(epoch)

    def flip(self) -> None:
        data = bytearray(self.whole)
        data[200] ^= 1
        self.pack.write_bytes(data)

    def states(self, output: Output) -> dict[int, str]:
        assert run([*self.flags, "backup", "list", "-o", "json"]) == Exit.OK
        return {one["epoch"]: one["state"] for one in output.json()["backups"]}

    def backup(self, *args: str) -> int:
        return int(run([*self.flags, "backup", *args]))


@pytest.fixture
def shelves(tmp_path: Path) -> Shelves:
    return Shelves(tmp_path)


def test_verify_reads_everything_unless_it_is_told_not_to(shelves: Shelves, output: Output) -> None:
    shelves.flip()
    assert shelves.backup("verify", "7", "--quick") == Exit.OK
    assert shelves.backup("verify", "7") == Exit.CORRUPT
    assert shelves.backup("verify", "3") == Exit.OK
    assert shelves.backup("verify", "7", "--quick", "--read-data", "5") == Exit.USAGE


def test_known_damage_is_shown_and_passed_over(shelves: Shelves, output: Output) -> None:
    shelves.flip()
    assert shelves.backup("verify", "7") == Exit.CORRUPT
    output.err()
    assert shelves.states(output) == {7: "DAMAGED", 3: "COMMITTED"}
    assert shelves.backup("show", "7", "-o", "json") == Exit.OK
    assert output.json()["backup"]["damage"] == ["books/0 is damaged"]
    assert shelves.backup("show", "latest", "-o", "json") == Exit.OK
    assert output.json()["backup"]["epoch"] == 3
    assert shelves.backup("check", "--max-age", "99999d", "-o", "json") == Exit.OK
    assert output.json()["check"]["backup_id"] == "bk-3"


def test_backups_that_share_a_damaged_pack_are_not_taken_for_whole(
    shelves: Shelves, output: Output
) -> None:
    """Nobody has read their bytes; reading them tells, and so does the end of the damage."""
    shelves.publish_sharing(9)
    shelves.flip()
    assert shelves.backup("verify", "7") == Exit.CORRUPT
    output.err()
    assert shelves.states(output) == {9: "DAMAGED", 7: "DAMAGED", 3: "COMMITTED"}
    assert shelves.backup("show", "latest", "-o", "json") == Exit.OK
    assert output.json()["backup"]["epoch"] == 3
    assert shelves.backup("show", "9", "-o", "json") == Exit.OK
    (told,) = output.json()["backup"]["damage"]
    assert told.startswith("books/0 shares a damaged object")
    assert shelves.backup("verify", "9") == Exit.CORRUPT
    shelves.pack.write_bytes(shelves.whole)
    assert shelves.backup("verify", "9") == Exit.OK
    output.err()
    assert shelves.states(output) == {9: "COMMITTED", 7: "DAMAGED", 3: "COMMITTED"}
    assert shelves.backup("verify", "7") == Exit.OK
    output.err()
    assert set(shelves.states(output).values()) == {"COMMITTED"}


def test_a_look_at_presence_clears_nothing_and_is_no_verification(
    shelves: Shelves, output: Output
) -> None:
    """The next reading of the data does, once it is right."""
    shelves.flip()
    shelves.backup("verify", "7")
    entries = asyncio.run(list_checks(shelves.store, PATHS))
    shelves.backup("verify", "3", "--quick")
    assert newest_good(asyncio.run(list_checks(shelves.store, PATHS))) == newest_good(entries)
    shelves.backup("verify", "7", "--quick")
    output.err()
    assert shelves.states(output)[7] == "DAMAGED"
    shelves.pack.write_bytes(shelves.whole)
    shelves.backup("verify", "7", "--quick")
    output.err()
    assert shelves.states(output)[7] == "DAMAGED"
    shelves.backup("verify", "7")
    damage = asyncio.run(read_damage(shelves.store, PATHS))
    assert damage.recipes == damage.objects == frozenset()


@pytest.mark.parametrize("what", ["removed", "truncated", "flipped"])
def test_all_damaged_packs_are_recorded(what: str, shelves: Shelves, output: Output) -> None:
    if what == "removed":
        shelves.pack.unlink()
    elif what == "truncated":
        shelves.pack.write_bytes(shelves.whole[:-1])
    else:
        shelves.flip()
    assert shelves.backup("verify", "7") == Exit.CORRUPT
    damage = asyncio.run(read_damage(shelves.store, PATHS))
    assert damage.objects == {str(shelves.pack.relative_to(shelves.root / "prod" / "packs"))}


BROKEN: dict[str, bytes] = {
    "truncated": b'{"format": 1, "clus',
    "foreign": b'{"hello": [1, 2]}',
    "empty": b"",
    "not text": bytes(range(256)),
}


@pytest.mark.parametrize("what", [*BROKEN, "of another epoch", "gigantic"])
def test_one_unreadable_manifest_is_a_row_and_stops_nothing_else(
    what: str, shelves: Shelves, output: Output
) -> None:
    path = shelves.root / PATHS.group(Epoch(9))
    if what == "gigantic":
        with path.open("wb") as file:
            file.truncate(MAX_DOCUMENT_BYTES + 1)
    elif what == "of another epoch":
        path.write_bytes((shelves.root / PATHS.group(Epoch(7))).read_bytes())
    else:
        path.write_bytes(BROKEN[what])
    assert shelves.states(output) == {9: "CORRUPT", 7: "COMMITTED", 3: "COMMITTED"}
    assert shelves.backup("show", "9") == Exit.CORRUPT
    assert PATHS.group(Epoch(9)) in output.err()
    assert shelves.backup("show", "latest", "-o", "json") == Exit.OK
    assert output.json()["backup"]["epoch"] == 7
    assert shelves.backup("show", "bk-3", "-o", "json") == Exit.OK
    assert output.json()["backup"]["epoch"] == 3
    assert shelves.backup("check", "--max-age", "99999d") == Exit.OK
    target = shelves.root.parent / "out.tar"
    more = ("--collection", "books", "--shard", "0", "--out", str(target))
    assert shelves.backup("extract", "bk-3", *more) == Exit.OK
    output.err()
    assert shelves.backup("show", "bk-8") == Exit.NOT_FOUND
    assert "corrupt or damaged: 9" in output.err()


def test_an_id_is_found_without_reading_other_manifests(shelves: Shelves, output: Output) -> None:
    """`ids/` names the epochs of an operation; a store without it is searched."""
    manifest: Any = shelves.shelf._manifest(3, 6)
    asyncio.run(shelves.store.put(PATHS.id_of(manifest.operation, Epoch(3)), b""))
    (shelves.root / PATHS.group(Epoch(7))).write_bytes(b"never read")
    assert shelves.backup("show", "bk-3", "-o", "json") == Exit.OK
    assert output.json()["backup"]["epoch"] == 3
