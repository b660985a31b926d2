"""Each shard is cut once, by an Active replica at a member, or the backup is refused."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.backup.assignment import (
    Usable,
    assign,
    check_versions,
    choose_collections,
    newest_entries,
    sick_collections,
)
from cleancut.core.primitives.errors import Invalid, NotFound, Refused
from cleancut.core.primitives.ids import AgentName, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Parent, Session, UnusableReplica
from cleancut.core.protocol.requests import BackupRequest
from tests.support.groups import manifest, reading, shard, view


def sessions(*peers: int, version: str = "1.18.3") -> dict[AgentName, Session]:
    return {
        AgentName(f"a{peer}"): Session(
            name=AgentName(f"a{peer}"),
            version="0",
            peer_id=PeerId(peer),
            qdrant_version=version,
        )
        for peer in peers
    }


def homes(tasks: dict) -> dict[int, int]:
    return {task.shard_id: task.peer_id for given in tasks.values() for task in given}


def test_every_shard_is_given_once_and_evenly() -> None:
    """With both replicas able, six shards are spread three and three."""
    seen = view("docs", {s: {1: "Active", 2: "Active"} for s in range(6)})
    tasks = assign(seen, ["docs"], Usable(sessions(1, 2)), {})
    assert sorted(homes(tasks)) == list(range(6))
    assert sorted(len(given) for given in tasks.values()) == [3, 3]


def asked(*names: str, **more: Any) -> BackupRequest:
    return BackupRequest(collections=names, **more)


def test_an_alias_is_the_collection_behind_it() -> None:
    """Once, by however many of its names it is asked for; also while a fence has renamed it."""
    seen = replace(view("docs@r-1", {0: {1: "Active"}}), aliases=(("docs", "docs@r-1"),))
    assert choose_collections(seen, asked("docs")) == (["docs@r-1"], {})
    assert choose_collections(seen, asked("docs", "docs@r-1")) == (["docs@r-1"], {})
    fenced = replace(seen, aliases=(("docs@fence-7", "docs@r-1"),))
    assert choose_collections(fenced, asked("docs")) == (["docs@r-1"], {})


def test_an_alias_that_points_to_nothing_is_said_to() -> None:
    seen = replace(view("docs", {0: {1: "Active"}}), aliases=(("live", "gone"),))
    with pytest.raises(NotFound, match="alias 'live' points to collection 'gone', which does not"):
        choose_collections(seen, asked("docs", "live"))
    _, sick = choose_collections(seen, asked("docs", "live", allow_missing=True))
    assert sick == {"live": "it is an alias of 'gone', which does not exist"}


@pytest.mark.parametrize(
    ("name", "exclude"), [("live", "docs"), ("docs", "live"), ("live", "live"), ("docs", "docs")]
)
def test_what_is_excluded_by_another_name_cannot_be_named(name: str, exclude: str) -> None:
    left = replace(view("other", {0: {1: "Active"}}), aliases=(("live", "docs"),))
    with pytest.raises(Invalid, match="is named and excluded"):
        choose_collections(left, asked(name, exclude=(exclude,)))


def test_the_fullest_replica_is_cut() -> None:
    """Qdrant calls a replica Active that has lost its points: neither its load nor a parent that
    was cut there makes it the one."""
    seen = view("docs", {s: {1: "Active", 2: "Active"} for s in range(2)})
    points = {("docs", 0, PeerId(1)): 10, ("docs", 0, PeerId(2)): 1010}
    points |= {("docs", 1, PeerId(1)): 7, ("docs", 1, PeerId(2)): 7}
    parents = newest_entries([manifest(3, (shard("docs", 0, peer=1), shard("docs", 1, peer=1)))])
    tasks = assign(seen, ["docs"], Usable(sessions(1, 2)), parents, points=points)
    assert homes(tasks) == {0: 2, 1: 1}


def test_a_hidden_collection_is_never_left_out() -> None:
    """An alias that took its name hides it from the peer's description: without it, a backup of all
    would pass for a whole one. It is sick, with the alias as the reason."""
    seen = replace(view("docs", {0: {1: "Active"}}), hidden=("old",), aliases=(("old", "docs"),))
    for asked in ((), ("old",), ("docs", "old")):
        _, sick = choose_collections(seen, BackupRequest(collections=asked))
        assert "alias hides it" in sick["old"]
    assert choose_collections(seen, BackupRequest(collections=("docs",))) == (["docs"], {})
    undescribed = replace(seen, aliases=())
    assert "Qdrant lists it" in choose_collections(undescribed, BackupRequest())[1]["old"]


def test_only_active_replicas_without_transfer_at_members_count() -> None:
    """A Partial replica, one that moves, and one without an agent are never cut."""
    replicas = {
        0: {1: "Partial", 2: "Active"},
        1: {1: "Active", 2: "Active"},
        2: {2: "Active", 3: "Active"},
    }
    seen = view("docs", replicas, transfers=((1, 2, 3),))
    assert homes(assign(seen, ["docs"], Usable(sessions(1, 2)), {})) == {0: 2, 1: 1, 2: 2}


def test_a_shard_that_nobody_can_cut_is_refused_by_name() -> None:
    """The message names the shard, where it is, and what to do."""
    seen = view("docs", {0: {1: "Active"}, 1: {3: "Active"}})
    with pytest.raises(Refused, match=r"shard 1 of 'docs'.*peer 3") as told:
        assign(seen, ["docs"], Usable(sessions(1, 2)), {})
    assert "used by no agent" in told.value.message
    assert "cannot use their Qdrant" in told.value.hint


def test_where_a_seed_has_read_a_shard_is_preferred() -> None:
    """Only the agent there knows what was left; but a parent's peer comes first, and a home that
    has gone is none."""
    seen = view("docs", {s: {1: "Active", 2: "Active"} for s in range(3)})
    at = {("docs", s): PeerId(p) for s, p in ((0, 2), (1, 2), (2, 9))}
    parents = newest_entries([manifest(1, (replace(shard("docs", 1), peer_id=PeerId(1)),))])
    assert homes(assign(seen, ["docs"], Usable(sessions(1, 2)), parents, homes=at)) == {
        0: 2,
        1: 1,
        2: 1,
    }


def test_the_parents_peer_is_preferred() -> None:
    """A shard stays where its parent was cut, so that its recipe can be taken over."""
    seen = view("docs", {s: {1: "Active", 2: "Active"} for s in range(2)})
    parents = newest_entries([manifest(3, (shard("docs", 0, peer=2), shard("docs", 1, peer=2)))])
    tasks = assign(seen, ["docs"], Usable(sessions(1, 2)), parents)
    assert homes(tasks) == {0: 2, 1: 2}
    assert all(
        task.parent == Parent(second=reading(8), uuid="u-1") for task in tasks[AgentName("a2")]
    )


@pytest.mark.parametrize("broken", ["moved", "other peer", "other uuid"])
def test_a_parent_that_proves_nothing_is_only_deduplicated_against(broken: str) -> None:
    """No takeover of a shard that was not quiet, is on another peer, or in another collection."""
    entry = shard("docs", 0, peer=2, moved=1) if broken == "moved" else shard("docs", 0, peer=2)
    seen = view("docs", {0: {1: "Active"} if broken == "other peer" else {2: "Active"}})
    group = manifest(3, (entry,))
    if broken == "other uuid":
        group = manifest(3, (replace(entry, uuid="u-0"),))
    tasks = assign(seen, ["docs"], Usable(sessions(1, 2)), newest_entries([group]))
    (task,) = [task for given in tasks.values() for task in given]
    assert task.recipe == entry.recipe
    assert task.parent is None


def test_the_newest_entry_of_a_shard_is_its_parent() -> None:
    """Older groups only serve shards that newer ones lack."""
    newer = manifest(9, (shard("docs", 0, peer=2),))
    older = manifest(8, (shard("docs", 0, peer=1), shard("docs", 1, peer=1)))
    entries = newest_entries([newer, older])
    assert entries["docs", 0].peer_id == 2
    assert entries["docs", 1].peer_id == 1


def test_what_to_back_up() -> None:
    """All by default; a missing name is reported, or left out if that was allowed; a backup of
    nothing must be meant."""
    seen = view("docs", {0: {1: "Active"}})
    assert choose_collections(seen, BackupRequest()) == (["docs"], {})
    with pytest.raises(NotFound, match="'nope'"):
        choose_collections(seen, BackupRequest(collections=("nope",)))
    named = BackupRequest(collections=("docs", "nope"), allow_missing=True)
    assert choose_collections(seen, named) == (["docs"], {"nope": "it does not exist"})
    empty = view("docs", {})
    bare = type(empty)(peers=(), collections=(), aliases=())
    with pytest.raises(Refused, match="nothing to back up"):
        choose_collections(bare, BackupRequest())
    assert choose_collections(bare, BackupRequest(allow_empty=True)) == ([], {})


def test_a_sick_collection_is_named_and_hides_no_other() -> None:
    """Lost shards, replicas elsewhere, names that Qdrant cannot stream: each with its reason."""
    names = {"docs": 1, "alone": 9, "n" * 207: 1, "line\nbreak": 1, "{x}": 1, "tab\there": 1}
    parts = [view(name, {0: {peer: "Active"}}).collections[0] for name, peer in names.items()]
    lost = replace(parts[0], name="lost", lost=(ShardId(1),))
    seen = replace(view("docs", {}), collections=(*parts, lost))
    sick = sick_collections(seen, [*names, "lost"], Usable(sessions(1)))
    assert sorted(sick) == sorted(["alone", "line\nbreak", "lost", "n" * 207])
    assert "peer 9" in sick["alone"]
    assert "206 bytes" in sick["n" * 207]
    assert "lost every replica" in sick["lost"]


def test_a_replica_that_is_not_loaded_is_cut_elsewhere() -> None:
    """Consensus calls it Active. With another replica the shard is cut there, without one the
    collection is sick."""
    seen = view("docs", {0: {1: "Active", 2: "Active"}})
    dummies = [
        UnusableReplica(collection="docs", shard_id=ShardId(0), peer_id=PeerId(peer))
        for peer in (1, 2)
    ]
    usable = Usable(sessions(1, 2), dummies[:1])
    assert sick_collections(seen, ["docs"], usable) == {}
    assert homes(assign(seen, ["docs"], usable, {})) == {0: 2}
    none = sick_collections(seen, ["docs"], Usable(sessions(1, 2), dummies))
    assert "not loaded" in none["docs"]


def test_any_number_of_shards_is_assigned() -> None:
    """A thousand shards at one peer are no reason to refuse."""
    seen = view("docs", {shard: {1: "Active"} for shard in range(1000)})
    (given,) = assign(seen, ["docs"], Usable(sessions(1)), {}).values()
    assert len(given) == 1000


@pytest.mark.parametrize(("version", "ok"), [("1.17.0", False), ("1.17.1", True), ("1.19.0", True)])
def test_too_old_a_qdrant_is_refused(version: str, ok: bool) -> None:
    """Older streams hold locks and lack the numbers that the proof needs."""
    if ok:
        check_versions(sessions(1, version=version))
    else:
        with pytest.raises(Refused, match="too old"):
            check_versions(sessions(1, version=version))


def test_a_collection_with_a_lost_shard_is_refused() -> None:
    """Its view shows the other shards only: a group of those would pass for a whole one."""
    seen = view("docs", {0: {1: "Active"}})
    ill = replace(seen.collections[0], lost=(ShardId(1),))
    with pytest.raises(Refused, match="shard 1 of 'docs' lost every replica") as told:
        assign(replace(seen, collections=(ill,)), ["docs"], Usable(sessions(1)), {})
    assert "cleancut doctor" in told.value.hint


def test_the_replica_whose_log_is_archived_comes_first() -> None:
    """Only its backup is a base of the archive; one that cannot be cut is none."""
    seen = view("docs", {s: {1: "Active", 2: "Active"} for s in range(3)})
    parents = newest_entries([manifest(1, (replace(shard("docs", 1), peer_id=PeerId(1)),))])
    archived = {("docs", s): PeerId(p) for s, p in ((0, 2), (1, 2), (2, 9))}
    tasks = assign(seen, ["docs"], Usable(sessions(1, 2)), parents, archived=archived)
    assert homes(tasks) == {0: 2, 1: 2, 2: 1}
