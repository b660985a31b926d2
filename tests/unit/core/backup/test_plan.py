"""A plan of a backup: each shard with its agent, its parent and what is new; what prevents it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.backup.assignment import Usable, assign, newest_entries
from cleancut.core.backup.plan import (
    described,
    differing,
    instant_blockers,
    instant_notes,
    may_roll,
    optimizing_note,
    plan_cuts,
)
from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Bounds, Reading, Session
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.requests import BackupRequest
from tests.support.groups import SOUND, manifest, reading, shard, view

DOCS = view("docs", {0: {1: "Active"}, 1: {2: "Active"}})
INSTANT = BackupRequest(require_point_in_time=True)


def sessions(wal: str | None = "") -> dict[AgentName, Session]:
    return {
        AgentName(f"a{peer}"): Session(
            name=AgentName(f"a{peer}"), version="0", peer_id=PeerId(peer), wal=wal
        )
        for peer in (1, 2)
    }


def planned(
    groups: list[Manifest], readings: dict[int, Reading] | None = None
) -> list[tuple[str, int | None, int | None]]:
    """Agent, parent and expected bytes of both shards, each of 700 bytes."""
    tasks = assign(DOCS, ["docs"], Usable(sessions()), newest_entries(groups))
    places = {number: ("docs", ShardId(number), PeerId(number + 1)) for number in (0, 1)}
    cuts = plan_cuts(
        tasks,
        groups,
        sizes=dict.fromkeys(places.values(), 700),
        readings={places[number]: one for number, one in (readings or {}).items()},
    )
    assert [(cut.shard_id, cut.size_bytes) for cut in cuts] == [(0, 700), (1, 700)]
    return [(cut.agent, cut.parent, cut.expected_bytes) for cut in cuts]


def test_without_a_parent_all_is_stored() -> None:
    """One shard has no parent, as after a change of the number of shards."""
    assert planned([]) == [("a1", None, 700), ("a2", None, 700)]
    group = manifest(3, (shard("docs", 0, peer=1),))
    assert planned([group]) == [("a1", 3, None), ("a2", None, 700)]


def test_a_shard_without_a_change_costs_nothing() -> None:
    """Only if its number is that of the parent's last reading, in the same start of its peer; the
    newest of two parents counts."""
    both = shard("docs", 0, peer=1), shard("docs", 1, peer=2)
    groups = [manifest(5, both), manifest(4, both)]
    same, written = reading(8), reading(9)
    assert planned(groups, {0: same, 1: written}) == [("a1", Epoch(5), 0), ("a2", Epoch(5), None)]
    restarted = reading(8, incarnation="another")
    assert planned(groups, {0: same, 1: restarted})[1] == ("a2", Epoch(5), None)
    assert planned(groups)[0] == ("a1", Epoch(5), None), "no peer has answered"


def test_a_parent_that_is_not_quiet_or_elsewhere_says_nothing() -> None:
    """Its blocks are not stored again all the same, so it is the parent."""
    loud = manifest(3, (shard("docs", 0, peer=1, moved=2), shard("docs", 1, peer=1)))
    now = {0: reading(10), 1: reading(8)}
    assert planned([loud], now) == [("a1", Epoch(3), None), ("a2", Epoch(3), None)]


def test_peers_that_describe_the_cluster_otherwise_are_named() -> None:
    other = view("docs", {0: {1: "Active"}, 1: {2: "Dead"}})
    assert list(differing({"http://a": DOCS, "http://b": DOCS})) == []
    (blocker,) = differing({"http://a": DOCS, "http://b": other})
    assert "http://b" in blocker


@pytest.mark.parametrize(
    ("request_", "can_roll", "blocked"),
    [(INSTANT, False, 1), (INSTANT, True, 0), (BackupRequest(), False, 0)],
)
def test_what_is_not_drained_needs_its_log(
    request_: BackupRequest, can_roll: bool, blocked: int
) -> None:
    """Only for a backup that must be point-in-time."""
    found = list(instant_blockers(request_, {"docs": "why"}, can_roll=can_roll))
    assert len(found) == blocked
    assert all("'docs'" in one and "why" in one for one in found)


def test_what_an_instant_depends_on_is_a_note() -> None:
    """Without logs and without a fence; what is not known of an agent is not held against it."""
    fence = Fence(epoch=Epoch(0), budget_s=2.0)
    assert len(list(instant_notes(INSTANT, None, can_roll=False))) == 1
    assert list(instant_notes(INSTANT, fence, can_roll=False)) == []
    assert list(instant_notes(INSTANT, None, can_roll=True)) == []
    assert list(instant_notes(BackupRequest(), None, can_roll=False)) == []
    assert [may_roll(sessions(wal).values(), Bounds()) for wal in ("", None, "no storage")] == [
        True,
        True,
        False,
    ]
    assert not may_roll(sessions().values(), Bounds(standstill_s=0.0))


def test_optimizations_are_counted() -> None:
    busy = replace(reading(1), state=replace(SOUND, optimizing=1))
    assert list(optimizing_note([reading(1)], Bounds())) == []
    (note,) = optimizing_note([busy, reading(1), busy], Bounds())
    assert "2 shards" in note
    assert "60 s" in note


def test_a_blocker_has_the_hint_of_its_error() -> None:
    assert described(Refused("it is wrong", "mend it")) == "it is wrong (mend it)"
    assert described(Refused("it is wrong")) == "it is wrong"
