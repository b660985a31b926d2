"""Which objects have to stay, and what a gc run does with the lists that it finds."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace as _replace

from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.garbage import (
    SEED_KEPT_S,
    Begun,
    BegunImport,
    GarbageList,
    GarbageMark,
    GcStep,
    LiveSet,
    finished_seeds,
    next_of,
    sparse_of,
    unknown_of,
)
from cleancut.core.primitives.codec import digest_of, encode
from cleancut.core.primitives.ids import ClusterName, Epoch, PeerId, Sha256, ShardId
from cleancut.core.primitives.timestamps import format_time
from cleancut.repository.catalog import read_epochs
from cleancut.repository.garbage import find_garbage, read_imports, read_seeds
from cleancut.repository.packs.underused_packs import read_sparse, renew_sparse
from cleancut.testing.memory_store import MemoryStore

LIVING = LiveSet(
    epochs=frozenset({7}),
    recipes=frozenset({"aa1"}),
    named=frozenset({"bb1", "000000000005/s/0"}),
    holds=frozenset({"holds/000000000007/r-1.json"}),
    verifications=frozenset({"verifications/000000000003/kept.json"}),
    newest_group=7,
    newest_epoch=9,
)


@pytest.mark.parametrize(
    ("path", "stays"),
    [
        ("packs/000000000005/s/0", True),
        ("packs/000000000005/s/1", False),
        ("packs/000000000008/s/0", True),  # newer than the newest group: a retry may use it
        ("recipes/aa/aa1", True),
        ("recipes/aa/aa2", False),
        ("pages/bb/bb1", True),
        ("pages/bb/bb2", False),
        ("votes/000000000007/agent-1/x.json", True),
        ("votes/000000000006/agent-1/x.json", False),
        ("staged/000000000006/x.json", False),
        ("probe/000000000008/_coordinator", False),
        ("probe/000000000009/_coordinator", True),  # the store's greatest epoch
        ("groups/000000000007.json", True),
        ("groups/000000000006.json", False),
        ("groups/000000000006.deleted", True),
        ("holds/000000000007/r-1.json", True),
        ("holds/000000000007/r-2.json", False),
        ("verifications/000000000007/any.json", True),
        ("verifications/000000000003/kept.json", True),
        ("verifications/000000000003/other.json", False),
        ("owner/000000000001.json", True),
        ("gc/000000000001-x.json", True),
        ("format.json", True),
        ("packs/nonsense/s/0", True),
        ("notes.txt", True),
    ],
)
def test_what_has_to_stay(path: str, *, stays: bool) -> None:
    assert LIVING.is_live(path) is stays


def test_packs_of_long_ago_are_no_help_to_a_retry() -> None:
    """Without any group, only the last epochs count."""
    living = LIVING._replace(newest_group=0, newest_epoch=20)
    assert not living.is_live("packs/000000000012/s/0")
    assert living.is_live("packs/000000000013/s/0")


def test_a_list_has_an_end() -> None:
    """What is beyond waits for the next list."""
    store, paths = MemoryStore(), Paths(ClusterName("prod"))
    store.objects = {paths.page(f"{number:064x}"): b"xx" for number in range(5)}
    found = asyncio.run(find_garbage(store, paths, LIVING, limit=3)).objects
    assert found == tuple((f"pages/00/{number:064x}", 2) for number in range(3))


def test_what_is_unknown() -> None:
    paths = ("packs/000000000005/s/0", "pages/bb/bb2", "recipes/aa/aa2", "votes/000000000006/x")
    garbage = GarbageList(objects=tuple((path, 1) for path in paths))
    assert unknown_of([garbage]) == {"000000000005/s/0", "bb2", "aa2"}


LISTS = {"x": Sha256("s")}
MARKED = GarbageMark(lists=LISTS, epoch=Epoch(5), at="2026-01-01T00:00:00.000Z")


def test_while_a_backup_is_awaited_what_seeds_have_left_stays() -> None:
    """Packs of their epochs, and every page: which of them it is, nobody but an agent knows."""
    living = LIVING._replace(seeds=frozenset({3, 4}))
    assert living.is_live("packs/000000000003/s/0")
    assert living.is_live("packs/000000000004/s/0")
    assert not living.is_live("packs/000000000005/s/1")
    assert living.is_live("pages/bb/bb2")
    assert not living.is_live("recipes/aa/aa2")


def test_what_an_import_has_stored_stays_until_it_is_entered_or_too_old() -> None:
    """Its packs are of no epoch, so only its mark, or a backup that names them, keeps them."""
    living = LIVING._replace(imports=frozenset({"ab"}))
    assert living.is_live("packs/000000000000/ab/0")
    assert not living.is_live("packs/000000000000/cd/0")
    assert living.is_live("pages/bb/bb2")
    assert living.is_live("recipes/aa/aa2")
    assert living.is_live("imports/ab/begun.json")
    assert not living.is_live("imports/cd/begun.json")
    assert not LIVING.is_live("packs/000000000000/ab/0")
    named = LIVING._replace(named=frozenset({"000000000000/ab/0"}))
    assert named.is_live("packs/000000000000/ab/0")
    assert LIVING._replace(unread=3).is_live("packs/000000000000/ab/0")


def test_an_import_is_known_by_its_mark_until_that_is_too_old() -> None:
    store, paths = MemoryStore(), Paths(ClusterName("prod"))
    store.objects = {
        paths.import_begun("ab"): encode(BegunImport(at=format_time(DAY_S))),
        paths.import_draft("ab", "f" * 64): b"{}",
        paths.import_begun("cd"): encode(BegunImport(at=format_time(DAY_S * 3))),
        paths.import_draft("ef", "f" * 64): b"{}",
    }
    for day, known in ((2, {"ab", "cd"}), (2 + KEPT_DAYS, {"cd"}), (3 + KEPT_DAYS, set())):
        assert asyncio.run(read_imports(store, paths, DAY_S * day)) == known


def begun(day: int, *collections: str) -> Begun:
    at = format_time(DAY_S * day)
    shards = tuple((name, ShardId(0), PeerId(1)) for name in collections)
    return Begun(at=at, since=Epoch(1), shards=shards)


DAY_S = 24 * 3600.0
KEPT_DAYS = int(SEED_KEPT_S / DAY_S)


@pytest.mark.parametrize(
    ("groups", "day", "over"),
    [
        ({}, 3, set()),
        ({"a": 4, "b": 4}, 3, set()),  # older groups have not taken them
        ({"a": 6}, 3, set()),  # b is still waited for
        ({"a": 6, "b": 7}, 3, {5}),
        ({"a": 9, "b": 9}, 3, {5, 8}),
        ({}, 1 + KEPT_DAYS, set()),  # the later one goes on with what the first has left
        ({"a": 6, "b": 6}, 2 + KEPT_DAYS, {5, 8}),
        ({}, 2 + KEPT_DAYS, {5, 8}),
    ],
)
def test_a_seed_is_over_once_a_backup_has_it_all_or_nobody_asks(
    groups: dict[str, int], day: int, over: set[int]
) -> None:
    seeds = {Epoch(5): begun(1, "a", "b"), Epoch(8): begun(2, "b")}
    assert finished_seeds(seeds, groups, DAY_S * day) == over


@pytest.mark.parametrize(
    ("lists", "marked", "open_epoch", "waited_s", "expected"),
    [
        ({}, None, None, 0.0, GcStep.FIND),
        ({}, MARKED, 5, 0.0, GcStep.FIND),
        (LISTS, None, None, 99.0, GcStep.MARK),
        (LISTS, _replace(MARKED, lists={"x": Sha256("t")}), None, 99.0, GcStep.MARK),
        (LISTS | {"y": Sha256("s")}, MARKED, None, 99.0, GcStep.MARK),
        (LISTS, MARKED, 5, 99.0, GcStep.WAIT_EPOCH),
        (LISTS, MARKED, 6, 99.0, GcStep.DELETE),
        (LISTS, MARKED, None, 9.0, GcStep.WAIT_GRACE),
        (LISTS, MARKED, None, 10.0, GcStep.DELETE),
    ],
)
def test_what_is_next(
    lists: dict[str, Sha256],
    marked: GarbageMark | None,
    open_epoch: int | None,
    *,
    waited_s: float,
    expected: GcStep,
) -> None:
    open_one = Epoch(open_epoch) if open_epoch else None
    step = next_of(lists, marked, open_epoch=open_one, waited_s=waited_s, grace_s=10.0)
    assert step is expected


def test_packs_of_which_little_is_needed() -> None:
    """By their own size, so that a small one that is needed whole stays; of those that no newest
    group needs at all nothing is said: they are old groups' business."""
    live = {"1/a/0": 24, "1/a/1": 25, "1/a/2": 5, "1/a/9": 1}
    sizes = {"1/a/0": 100, "1/a/1": 100, "1/a/2": 5, "1/a/3": 100}
    assert sparse_of(live, sizes).packs == ("1/a/0",)


def test_the_list_of_such_packs_is_renewed() -> None:
    """The newest counts, older ones go, and none is kept that would be empty."""

    async def body() -> None:
        store, paths = MemoryStore(), Paths(ClusterName("c"))
        for number in range(3):
            await store.put(paths.pack(f"000000000001/s/{number}"), bytes(100))
        live = {f"000000000001/s/{number}": 10 + 50 * number for number in range(3)}
        assert await read_sparse(store, paths) == frozenset()
        first = await renew_sparse(store, paths, live, Epoch(4))
        assert first == await read_sparse(store, paths) == {"000000000001/s/0"}
        assert await renew_sparse(store, paths, live, Epoch(4)) == first
        second = await renew_sparse(store, paths, {**live, "000000000001/s/1": 1}, Epoch(5))
        assert second == await read_sparse(store, paths)
        assert len(second) == len([i async for i in store.list(paths.sparse_lists)]) + 1 == 2
        whole = dict.fromkeys(live, 100)
        assert await renew_sparse(store, paths, whole, Epoch(6)) == frozenset()
        assert [i async for i in store.list(paths.sparse_lists)] == []

    asyncio.run(body())


def test_the_newest_group_stays_it_when_it_is_deleted() -> None:
    """What was too old to be reused, and was marked for deletion for it, never becomes young again:
    whoever found it deletable may delete it late."""

    async def body() -> None:
        store, paths = MemoryStore(), Paths(ClusterName("prod"))
        for epoch in (3, 5):
            await store.put(paths.group(Epoch(epoch)), b"{}")
        await store.put(paths.tombstone(Epoch(5)), b"{}")
        found = await read_epochs(store, paths)
        assert (found.groups, found.newest) == ([3], 5)
        await store.delete(paths.group(Epoch(5)))
        assert (await read_epochs(store, paths)).newest == 5

    asyncio.run(body())


def test_a_seed_whose_shards_were_given_out_twice_keeps_all_of_both() -> None:
    """Its peers came to see another cluster meanwhile. What is no number is no seed."""

    async def body() -> None:
        store, paths = MemoryStore(), Paths(ClusterName("prod"))
        first, second = begun(1, "a"), _replace(begun(2, "a", "b"), since=Epoch(3))
        for one in (first, second):
            await store.put(paths.seed(Epoch(5), digest_of(one)), encode(one))
        await store.put(f"{paths.seeds}notes/x", b"?")
        both = Begun(at=second.at, since=first.since, shards=second.shards)
        assert await read_seeds(store, paths) == {5: both}

    asyncio.run(body())
