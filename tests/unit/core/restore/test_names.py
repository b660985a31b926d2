"""Under which names collections come back, and what stands in the way of a name."""

from __future__ import annotations

from typing import Any

import pytest

from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.plan import CollectionPlan, PlacementPlan, check_plan, make_plan
from tests.support.restore_groups import collection, group, target

ID = "r-0123456789abcdef"


def _plan(*entries: Any, there: Any = None, operation: str = ID, **request: Any) -> PlacementPlan:
    asked = RestoreRequest(backup=Epoch(4), **request)
    return make_plan(group(*entries), asked, target(**(there or {})), operation)


def _only(plan: PlacementPlan) -> CollectionPlan:
    (planned,) = check_plan(plan).collections
    return planned


def _reason(plan: PlacementPlan) -> str:
    assert plan.blockers
    (planned,) = plan.collections
    assert planned.action == "refuse"
    return planned.reason


def test_beside_appears_by_an_alias_at_the_end() -> None:
    """Nobody can use the new collection by the name they know before the alias is made."""
    planned = _only(_plan(collection(aliases=("live",)), beside=True))
    assert (planned.action, planned.created_as) == ("beside", f"docs@{ID}")
    assert (planned.published_as, planned.aliases) == ("docs", ("docs", "live"))
    assert not planned.replaced


def test_the_id_of_an_earlier_restore_is_no_part_of_the_name() -> None:
    """A group of what was restored beside does not pile up ids."""
    earlier = collection("docs@r-aaaaaaaaaaaaaaaa", aliases=("docs", "live"))
    planned = _only(_plan(earlier, beside=True))
    assert planned.created_as == f"docs@{ID}"
    assert planned.aliases == ("docs", "live")
    odd = collection("docs@r-2")
    assert _only(_plan(odd, beside=True)).published_as == "docs@r-2"


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"collections": ("docs",)}, "'docs' exists; restore in its place"),
        ({"collections": ("docs",), "aliases": (("live", "docs"),)}, "('live') with --replace"),
        ({"aliases": (("docs", "x"),)}, "restore with --replace"),
        ({"aliases": (("live", "x"),)}, "'live' points to 'x' here"),
        ({"collections": ("live",)}, "name of a collection here"),
        ({"collections": (f"docs@{ID}",)}, "never reused"),
    ],
)
def test_beside_wants_free_names(there: dict[str, Any], words: str) -> None:
    entry = collection(aliases=("live",))
    assert words in _reason(_plan(entry, there=there, beside=True))


def test_a_rename_leaves_the_aliases_to_the_original() -> None:
    plan = _plan(collection(aliases=("live",)), renames=(("docs", "copy"),))
    planned = _only(plan)
    assert (planned.created_as, planned.published_as, planned.aliases) == ("copy", "copy", ())
    assert any("'live') are not restored under another name" in told for told in plan.warnings)
    beside = _only(_plan(collection(), renames=(("docs", "copy"),), beside=True))
    assert (beside.created_as, beside.aliases) == (f"copy@{ID}", ("copy",))


def test_a_rename_must_be_of_what_is_restored_and_only_once() -> None:
    with pytest.raises(Invalid, match="renamed but not restored"):
        _plan(renames=(("other", "copy"),))
    with pytest.raises(Invalid, match="renamed twice"):
        _plan(renames=(("docs", "a"), ("docs", "b")))


def test_a_call_without_a_new_name_is_no_restore_under_the_old_one() -> None:
    """The command line takes none; a program may send one by mistake."""
    with pytest.raises(Invalid, match="renamed to nothing"):
        _plan(renames=(("docs", ""),))
    with pytest.raises(Invalid, match="4294967295 replicas are too many"):
        _plan(replicas=4_294_967_295)


@pytest.mark.parametrize("name", [".", "..", "a/b", "x" * 207])
def test_no_new_name_may_harm_qdrant(name: str) -> None:
    assert _reason(_plan(renames=(("docs", name),)))
    assert _reason(_plan(renames=(("docs", name),), beside=True))


def test_the_id_must_fit_behind_the_name() -> None:
    """Qdrant streams a name and its shard's number in 207 bytes."""
    longest = "x" * (207 - len("1") - len(ID) - 1)
    assert _only(_plan(collection(longest), beside=True))
    for operation in (ID, ""):
        assert "bytes" in _reason(
            _plan(collection(longest + "x"), beside=True, operation=operation)
        )


def test_two_of_one_name_are_both_refused() -> None:
    plan = _plan(collection("a"), collection("b"), renames=(("a", "b"),))
    assert [planned.action for planned in plan.collections] == ["refuse", "refuse"]
    assert "would all be called 'b'" in plan.blockers[0]
    alias = _plan(collection("a"), collection("b", aliases=("c",)), renames=(("a", "c"),))
    assert len(alias.blockers) == 2


def test_replace_points_aliases_to_the_new_data() -> None:
    there = {"collections": ("docs@1",), "aliases": (("docs", "docs@1"), ("live", "docs@1"))}
    planned = _only(_plan(collection(aliases=("live", "new")), there=there, replace=True))
    assert (planned.action, planned.created_as) == ("replace", f"docs@{ID}")
    assert planned.aliases == ("docs", "live", "new")
    assert planned.replaced == (("docs", "docs@1"), ("live", "docs@1"))
    assert planned.exists == "alias of docs@1"


def test_replace_of_nothing_is_beside() -> None:
    planned = _only(_plan(collection(aliases=("live",)), replace=True))
    assert (planned.action, planned.aliases) == ("beside", ("docs", "live"))


def test_a_real_collection_is_never_replaced() -> None:
    """Its aliases may move to the new data; without any, people must say what to do."""
    there = {"collections": ("docs",), "aliases": (("live", "docs"),)}
    plan = _plan(collection(aliases=("live",)), there=there, replace=True)
    planned = _only(plan)
    assert (planned.published_as, planned.aliases) == ("live", ("live",))
    assert planned.replaced == (("live", "docs"),)
    assert any("go on to see the old data" in told for told in plan.warnings)
    assert "is a real collection, and no known alias" in _reason(_plan(there=there, replace=True))
    taken = {"collections": ("live", "docs")}
    entry = collection(aliases=("live",))
    assert "name of a collection" in _reason(_plan(entry, there=taken, replace=True))


def test_the_digest_does_not_know_the_restores_id() -> None:
    """Else nobody could agree to a plan before the restore is recorded."""
    for how in ({"beside": True}, {"replace": True}):
        known, unknown = _plan(operation=ID, **how), _plan(operation="", **how)
        assert unknown.collections[0].created_as == "docs@ID"
        assert known.digest == unknown.digest


def test_a_rename_to_the_same_name_is_none() -> None:
    """Its aliases come back with it."""
    plan = _plan(collection(aliases=("live",)), renames=(("docs", "docs"),))
    assert (_only(plan).created_as, _only(plan).aliases) == ("docs", ("live",))
    assert not any("another name" in one for one in plan.warnings)
