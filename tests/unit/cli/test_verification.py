"""`backup verify`: what was forged, is missing or damaged is found, from the store alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.cli.exit_codes import Exit
from cleancut.cli.main import run
from cleancut.core.format.manifest import AgentDocument, Manifest
from cleancut.core.format.story import Story, StoryKind
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, Epoch, ShardId
from cleancut.repository.catalog import put_staged, put_votes_document
from cleancut.repository.history import list_stories, read_stories
from cleancut.repository.verification_log import last_read, list_checks
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from cleancut.verification.reread import choose_shards
from tests.support.capturing import PATHS
from tests.unit.cli.test_offline import TAR, Output, Shelf

EPOCH = Epoch(7)


class Group:
    """A committed group as the protocol leaves it, and what somebody may have done to it since."""

    def __init__(self, folder: Path) -> None:
        shelf = Shelf(folder)
        self.root, self.flags = shelf.root, shelf.flags
        self.manifest = shelf._manifest(EPOCH, 6)
        self._store = open_store(shelf.url, SystemClock())
        undrained = tuple(replace(shard, drained=False) for shard in self.manifest.shards)
        document = AgentDocument(epoch=EPOCH, agent=AgentName("node-0"), shards=undrained)
        asyncio.run(put_votes_document(self._store, PATHS, document))
        self.publish(self.manifest, decided=True)

    def publish(self, manifest: Manifest, *, decided: bool) -> None:
        if decided:
            asyncio.run(put_staged(self._store, PATHS, EPOCH, manifest))
        path = self.root / PATHS.group(EPOCH)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(manifest))

    def one(self, what: str) -> Path:
        """Some object of this kind."""
        return min(path for path in self.root.glob(f"prod/{what}/**/*") if path.is_file())


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path)


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    monkeypatch.delenv("CLEANCUT_COORDINATOR", raising=False)
    return Output(capsys)


def verified(group: Group, output: Output, code: Exit, *more: str) -> Any:
    assert run([*group.flags, "backup", "verify", "7", "-o", "json", *more]) == code
    return output.json()["verify"]


def stories_of(group: Group) -> list[Story]:
    """Those that the store has, the oldest first."""

    async def read() -> list[Story]:
        store = open_store(f"file://{group.root}", SystemClock())
        return await read_stories(store, (await list_stories(store, PATHS))[::-1])

    return asyncio.run(read())


def test_each_verification_leaves_its_story(group: Group, output: Output) -> None:
    """With who ran it and what it found; a wrong number leaves none."""
    verified(group, output, Exit.OK)
    for path in group.root.glob("prod/packs/**/*"):
        if path.is_file():
            path.write_bytes(bytes(path.stat().st_size))
    verified(group, output, Exit.CORRUPT)
    assert run([*group.flags, "backup", "verify", "8"]) == Exit.NOT_FOUND
    good, bad = stories_of(group)
    assert (good.kind, good.state, good.epoch) == (StoryKind.VERIFY, "DONE", 7)
    assert good.facts["outcome"] == "good"
    assert (good.facts["level"], good.facts["problems"]) == ("all", 0)
    assert "@" in good.asked_by
    assert (bad.state, bad.facts["problems"]) == ("FAILED", 1)
    assert "damaged" in bad.facts["outcome"]


def test_a_store_that_takes_no_story_is_verified_all_the_same(
    group: Group, output: Output, capsys: pytest.CaptureFixture[str]
) -> None:
    (group.root / "prod" / "history").write_text("a file in the way")
    assert run([*group.flags, "backup", "verify", "7"]) == Exit.OK
    assert "not recorded in the store's history" in capsys.readouterr().err


def test_a_group_as_it_was_committed(group: Group, output: Output) -> None:
    found = verified(group, output, Exit.OK)
    assert found["evidence"]["consistency"] == "point-in-time"
    assert found["problems"] == found["missing"] == []
    assert found["shards"] == 1
    assert found["objects"] >= 3
    assert run([*group.flags, "backup", "verify", "bk-7"]) == Exit.OK
    assert run([*group.flags, "backup", "verify", "8"]) == Exit.NOT_FOUND


def shards(**changes: Any) -> Callable[[Manifest], Manifest]:
    def forge(manifest: Manifest) -> Manifest:
        return replace(manifest, shards=tuple(replace(s, **changes) for s in manifest.shards))

    return forge


FORGED: dict[str, Callable[[Manifest], Manifest]] = {
    "a number": lambda m: shards(second=replace(m.shards[0].second, number=9))(m),
    "both numbers": lambda m: shards(
        first=replace(m.shards[0].first, number=1), second=replace(m.shards[0].second, number=2)
    )(m),
    "a start": lambda m: shards(second=replace(m.shards[0].second, incarnation="t"))(m),
    "a drain": shards(drained=False),
    "a count": shards(count=4),
    "the skew": lambda m: replace(m, skew_ms=1),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_manifest_is_found(what: str, group: Group, output: Output) -> None:
    """Whatever was changed, these are not the bytes that were decided."""
    group.publish(FORGED[what](group.manifest), decided=False)
    found = verified(group, output, Exit.FAILED)
    assert "differs from the one that the coordinator committed" in found["problems"][0]


def test_numbers_that_no_agent_has_told_are_found(group: Group, output: Output) -> None:
    """Even if the forger has staged the manifest as well."""
    group.publish(FORGED["both numbers"](group.manifest), decided=True)
    found = verified(group, output, Exit.FAILED)
    assert found["evidence"]["consistency"] == "point-in-time"
    assert "books/0: agent node-0 has stored other numbers" in found["problems"][0]


def test_another_tar_is_found(group: Group, output: Output) -> None:
    group.publish(shards(size_bytes=1)(group.manifest), decided=True)
    found = verified(group, output, Exit.FAILED)
    assert "books/0: its recipe makes another tar" in found["problems"]


@pytest.mark.parametrize("change", [lambda s: s * 2, lambda s: ()], ids=["twice", "gone"])
def test_a_shard_too_many_or_too_few_is_corrupt(
    change: Callable[[Any], Any], group: Group, output: Output
) -> None:
    group.publish(replace(group.manifest, shards=change(group.manifest.shards)), decided=True)
    assert run([*group.flags, "backup", "verify", "7"]) == Exit.CORRUPT
    assert "does not hold exactly the shards" in output.err()


@pytest.mark.parametrize("what", ["recipes", "pages", "packs"])
def test_what_is_missing_is_named(what: str, group: Group, output: Output) -> None:
    gone = group.one(what)
    gone.unlink()
    found = verified(group, output, Exit.CORRUPT)
    assert str(gone.relative_to(group.root)) in found["missing"][0]


@pytest.mark.parametrize("what", ["recipes", "pages"])
def test_a_damaged_document_is_named(what: str, group: Group, output: Output) -> None:
    damaged = group.one(what)
    damaged.write_bytes(b"damaged")
    found = verified(group, output, Exit.CORRUPT)
    assert str(damaged.relative_to(group.root)) in found["missing"][0]
    assert "cannot be read" in found["missing"][0]


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_damaged_blocks_are_found_by_reading(damage: str, group: Group, output: Output) -> None:
    """The structure alone cannot tell."""
    assert verified(group, output, Exit.OK, "--read-data", "100")["read_bytes"] == len(TAR)
    pack = group.one("packs")
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data if damage == "flipped" else data[:-1])
    if damage == "flipped":
        assert verified(group, output, Exit.OK, "--quick")["read_bytes"] == 0
    found = verified(group, output, Exit.CORRUPT, "--read-data", "1")
    assert "packs/" in found["missing"][0] or "books/0: " in found["missing"][0]


def test_shards_to_read_are_chosen_by_bytes(group: Group) -> None:
    """At least one, if any; all of them for 100 per cent; others at another time."""
    one = group.manifest.shards[0]
    entries = [replace(one, shard_id=ShardId(n), size_bytes=n + 1) for n in range(10)]
    seen = set()
    for seed in range(50):
        chosen = choose_shards(entries, 10, random.Random(seed), {})
        assert sum(entry.size_bytes for entry in chosen) >= 5.5
        seen |= {entry.shard_id for entry in chosen}
    assert seen == {entry.shard_id for entry in entries}
    assert choose_shards(entries, 0, random.Random(1), {}) == []
    assert len(choose_shards(entries, 100, random.Random(1), {})) == 10


def test_what_was_read_longest_ago_is_read_first(group: Group) -> None:
    """Never read comes before that; what was read lately counts, and is left out."""
    one = group.manifest.shards[0]
    entries = [
        replace(one, shard_id=ShardId(n), recipe=f"{n:064x}", size_bytes=10) for n in range(4)
    ]
    read = {entries[0].recipe: 300.0, entries[1].recipe: 100.0, entries[3].recipe: 200.0}

    def chosen(percent: int, since_s: float = float("inf")) -> list[int]:
        return [
            entry.shard_id
            for entry in choose_shards(entries, percent, random.Random(1), read, since_s=since_s)
        ]

    assert chosen(100) == [2, 1, 3, 0]
    assert chosen(50) == [2, 1]
    assert chosen(50, since_s=250.0) == [2]
    assert chosen(100, since_s=150.0) == [2, 1]
    assert chosen(50, since_s=50.0) == []


def test_the_verification_log_remembers_what_was_read(group: Group, output: Output) -> None:
    """So that a reading which was interrupted goes on; a damaged shard is not taken for read."""
    assert verified(group, output, Exit.OK, "--read-data", "100")["read_bytes"] > 0
    again = ("--read-data", "100", "--unless-read-within", "1h")
    assert verified(group, output, Exit.OK, *again)["read_bytes"] == 0
    store = open_store(f"file://{group.root}", SystemClock())
    entries = asyncio.run(list_checks(store, PATHS))
    assert {(one.epoch, one.kind, one.good) for one in entries} == {(7, "verify", True)}
    read = asyncio.run(last_read(store, PATHS, EPOCH))
    assert set(read) == {shard.recipe for shard in group.manifest.shards}
    for path in group.root.glob("prod/verifications/*/*"):
        path.unlink()
    pack = group.one("packs")
    pack.write_bytes(bytes([pack.read_bytes()[0]]) + bytes(pack.stat().st_size - 1))
    verified(group, output, Exit.CORRUPT, "--read-data", "100")
    assert asyncio.run(last_read(store, PATHS, EPOCH)) == {}
    assert not any(one.good for one in asyncio.run(list_checks(store, PATHS)))


def test_a_store_that_cannot_be_written_to_is_verified_all_the_same(
    group: Group, output: Output
) -> None:
    (group.root / "prod" / "verifications").write_bytes(b"in the way")
    assert verified(group, output, Exit.OK, "--read-data", "100")["problems"] == []


def test_evidence_says_why(group: Group, output: Output) -> None:
    """In words, for each shard that is in doubt."""
    group.publish(FORGED["a number"](group.manifest), decided=False)
    assert run([*group.flags, "backup", "show", "7", "--evidence", "-o", "json"]) == Exit.OK
    (told,) = output.json()["evidence"]["shards"]
    assert told["doubt"] == "3 other operations applied"
    assert run([*group.flags, "backup", "show", "7", "--evidence"]) == Exit.OK
