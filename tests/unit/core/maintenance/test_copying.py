"""Which groups are copied, what a copy lacks, and what is garbage in it."""

from __future__ import annotations

import pytest

from cleancut.core.maintenance.copying import (
    CopyGarbage,
    LeftOut,
    Scope,
    SourceGroup,
    check_owners,
    check_same_cluster,
    missing_of,
    plan_copy,
)
from cleancut.core.maintenance.garbage import LiveSet
from cleancut.core.primitives.errors import Corrupt, Refused
from cleancut.core.primitives.ids import Epoch

GROUPS = [SourceGroup(Epoch(7), "damaged"), SourceGroup(Epoch(5)), SourceGroup(Epoch(6))]


def living(epochs: set[int], named: set[str] = frozenset()) -> LiveSet:  # type: ignore[assignment]
    return LiveSet(
        epochs=frozenset(epochs),
        recipes=frozenset(),
        named=frozenset(named),
        holds=frozenset(),
        newest_group=9,
        newest_epoch=9,
    )


@pytest.mark.parametrize(
    ("scope", "copied", "left_out"),
    [
        (Scope.NEW, (5,), [(7, "damaged", False)]),
        (Scope.ALL, (5, 6), [(7, "damaged", False)]),
        (Scope.ONE, (5, 6), [(7, "damaged", False)]),
    ],
)
def test_groups_are_copied_oldest_first(
    scope: Scope, copied: tuple[int, ...], left_out: list[tuple[int, str, bool]]
) -> None:
    plan = plan_copy(GROUPS, scope, there={6}, deleted_there=())
    assert plan.copied == copied
    assert plan.left_out == tuple(LeftOut(Epoch(e), why, ok) for e, why, ok in left_out)


@pytest.mark.parametrize("scope", Scope)
def test_what_was_deleted_from_the_copy_is_expected_to_be_left_out_unless_it_is_named(
    scope: Scope,
) -> None:
    plan = plan_copy([SourceGroup(Epoch(5))], scope, there=(), deleted_there={5})
    assert plan.copied == ()
    assert plan.left_out[0].expected is (scope is not Scope.ONE)


def test_what_is_missing_is_what_the_source_has_and_the_target_has_not() -> None:
    missing = missing_of(["a", "b", "c", "d"], {"a": 1, "b": 2}, {"b": 2, "d": 4})
    assert missing.copied == ("a",)
    assert missing.lost == ("c",)
    with pytest.raises(Corrupt, match="3 bytes in the copy, not 2"):
        missing_of(["b"], {"b": 2}, {"b": 3})


@pytest.mark.parametrize(
    ("source", "target", "refused"),
    [
        ({1: "a"}, {}, False),
        ({1: "a", 2: "b"}, {1: "a"}, False),
        ({1: "a"}, {1: "a", 2: "b"}, True),
        ({1: "a"}, {1: "b"}, True),
        ({}, {1: "b"}, True),
    ],
)
def test_a_target_has_only_owners_of_the_source(
    source: dict[int, str], target: dict[int, str], refused: bool
) -> None:
    if refused:
        with pytest.raises(Refused):
            check_owners(source, target, "s3://away")
    else:
        check_owners(source, target, "s3://away")


def test_repairs_need_one_owner_in_common() -> None:
    check_same_cluster({1: "a", 2: "b"}, {1: "a"}, "s3://away")
    for theirs in ({}, {1: "b"}, {2: "a"}):
        with pytest.raises(Refused):
            check_same_cluster({1: "a"}, theirs, "s3://away")


PACK = "packs/000000000005/s/1"


@pytest.mark.parametrize(
    ("path", "garbage"),
    [
        (PACK, True),
        ("packs/000000000005/s/2", False),  # the source has it
        ("packs/000000000005/s/3", False),  # a group of the copy names it
        ("packs/000000000005/s/4", False),  # a group of the source names it, and has lost it
        ("groups/000000000005.json", True),
        ("groups/000000000005.deleted", False),
        ("votes/000000000006/a/x.json", False),  # of a copy that is under way
        ("votes/000000000004/a/x.json", True),
        ("format.json", False),
        ("owner/000000000001.json", False),
        ("other/thing", False),
    ],
)
def test_garbage_of_a_copy(path: str, garbage: bool) -> None:
    rules = CopyGarbage(
        living=living({7}, {"000000000005/s/3"}),
        deleted=frozenset({5}),
        source_living=living({5, 6, 7}, {"000000000005/s/4"}),
        source_groups=frozenset({5, 6, 7}),
        source_paths=frozenset({"packs/000000000005/s/2"}),
    )
    assert rules.is_garbage(path) is garbage
