"""Overwriting a collection: it is deleted only while its backup holds all of it, come what may."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Invalid, Refused
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import Standstill, WalEnd
from cleancut.core.protocol.moment import Moment, MomentRequest
from cleancut.core.protocol.requests import RestoreRequest, ShardNumber
from cleancut.core.protocol.states import Phase, State
from cleancut.core.restore.overwrite import (
    DrainOld,
    OldData,
    OldShard,
    check_old,
    old_data_of,
    reading_tasks,
)
from cleancut.core.restore.phases import PublishRestore
from cleancut.core.restore.plan import PlacementPlan, make_plan
from cleancut.core.restore.target import TargetPeer
from tests.support.restore_groups import collection, group, shard, target
from tests.unit.core.restore.test_restore import CHOICES, PHASES, _perturb, _run_until
from tests.unit.core.restore.world import AGENTS, BROKEN, World

OLD, KEPT, FRESH_S = "docs", 7, 2.0
ID = "r-0123456789abcdef"


@dataclass
class OverwriteWorld(World):
    """A world with old data: each agent has a shard of it, which stood at `KEPT` when it was backed
    up. `old_writes`: since then; `seen`: how many of them when each agent read its shard."""

    old_there: bool = True
    old_drains: int = 0
    old_writes: int = 0
    seen: dict[AgentName, int] = field(default_factory=dict)
    read_late: set[AgentName] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__post_init__()
        request = RestoreRequest(backup=Epoch(1), collections=(OLD,), overwrite=True)
        self.operation = replace(self.operation, request=encode(request).decode())

    def write_old(self) -> None:
        """A client writes to each shard of the old data, if it is there."""
        self.old_writes += self.old_there

    def act(self, owner: str, effect: Effect) -> object:
        if isinstance(effect, DrainOld):
            self.old_drains += 1
            shards = tuple(
                OldShard(ShardId(n), PeerId(n), KEPT, f"start {n}") for n in range(len(AGENTS))
            )
            old = OldData(OLD, "u", Epoch(1), OperationId("b-1"), (), (), shards)
            return reading_tasks(old, {PeerId(n): name for n, name in enumerate(AGENTS)})
        if isinstance(effect, ReadNumbers) and effect.tasks[0].parent is not None:
            self.seen[AgentName(owner)] = self.old_writes
            if self.marked:
                self.read_late.add(AgentName(owner))
            if not self.old_there:
                return Readings((None,), "start", 99)
            number = KEPT + self.old_drains + self.old_writes
            began = self.startups[AgentName(owner)]
            incarnation = f"start {AGENTS.index(AgentName(owner)) + 100 * began}"
            return Readings((number,), incarnation, 99)  # arrivals: of this very restore
        if isinstance(effect, PublishRestore) and self.old_there:
            if effect.read_s is None or self.now_s - effect.read_s > FRESH_S:
                return False
            self.old_there = False
        return super().act(owner, effect)

    def check(self) -> None:
        super().check()
        if not self.old_there:
            assert self.marked, "deleted before that was decided"
            assert self.read_late == set(AGENTS), "deleted before all shards were read again"
            assert not any(self.seen.values()), "deleted although it was written to"
        if self.operation.state in {State.ROLLED_BACK, State.ABORTED}:
            assert self.old_there, "the old data is gone, and the new data too"
        if self.operation.state is State.NEEDS_OPERATOR and self.marked:
            assert self.made, "undone although it is decided"


def _begun() -> OverwriteWorld:
    world = OverwriteWorld()
    world.begin()
    return world


def test_the_old_data_is_read_again_before_it_is_deleted() -> None:
    """The plain way: one phase more, and one drain of the old collection."""
    world = _begun()
    world.run_on()
    world.check()
    assert world.operation.state is State.DONE
    seal = PHASES.index(Phase.SEAL) + 1
    phases = [*PHASES[:seal], Phase.STANDSTILL, Phase.PUBLISH, *PHASES[seal:]]
    assert [ctl.phase for ctl, _ in world.history] == phases
    assert (world.old_drains, world.old_there) == (1, False)


def _commands_of_a_plain_run() -> int:
    world = _begun()
    world.run_on()
    return world.commands


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize("after", range(1, _commands_of_a_plain_run() + 1))
def test_after_a_crash_it_is_overwritten_or_untouched(
    after: int, *, acted: bool, newest_first: bool
) -> None:
    """After each command the leader may die, with its effect done or not. Once it is decided the
    next one goes on; a drain that was counted, or a report that is lost, undoes it."""
    world = OverwriteWorld()
    crash = world.crash
    world.crash_after = after
    world.crash = lambda **_: crash(acted=acted)  # type: ignore[method-assign]
    world.begin()
    world.run_on(newest_first=newest_first)
    world.check()
    assert world.crashes == 1
    assert world.operation.state in {State.DONE, State.ROLLED_BACK}
    assert world.operation.state is State.DONE or not world.marked
    in_between = {Phase.SEAL, Phase.STANDSTILL}
    undone = [ctl.phase for ctl, _ in world.history if ctl.phase is Phase.ROLLBACK]
    assert not undone or world.history[-3][0].phase in in_between


@pytest.mark.parametrize("phase", PHASES[1:5])
def test_a_write_to_the_old_data_undoes_the_restore(phase: Phase) -> None:
    """Whenever it comes before the shards are read again."""
    world = _begun()
    _run_until(world, phase)
    world.write_old()
    world.run_on()
    world.check()
    assert world.operation.state is State.ROLLED_BACK
    assert world.operation.failure is not None
    assert "(peer 0) applied 1 other operation since" in (world.operation.failure.message)


def test_a_write_after_the_decision_leaves_both() -> None:
    """The data is there twice, and an operator has to say which it is to be."""
    world = _begun()
    _run_until(world, Phase.PUBLISH)
    world.write_old()
    world.run_on()
    world.check()
    assert (world.operation.state, world.old_there) == (State.NEEDS_OPERATOR, True)
    assert world.operation.failure is not None
    assert "shard 0 of 'docs' at a (peer 0) applied 1 other" in world.operation.failure.message
    assert "nothing was deleted" in world.operation.failure.hint


def test_a_reading_that_got_old_is_repeated() -> None:
    """By the same leader, if the deletion fails for a while, and by the next one in any case."""
    world = _begun()
    _run_until(world, Phase.PUBLISH)
    while not any(isinstance(e, PublishRestore) and e.read_s is not None for _, e in world.running):
        if not world.deliver_all():
            world.answer(0)
    (index,) = [i for i, (_, e) in enumerate(world.running) if isinstance(e, PublishRestore)]
    world.answer(index, BROKEN)
    world.write_old()
    world.run_on()
    world.check()
    assert (world.operation.state, world.old_there) == (State.NEEDS_OPERATOR, True)
    assert world.ctl.round == 2


def test_a_deletion_whose_answer_is_lost_is_found_done() -> None:
    """A shard without a number says that the collection may be gone: that is looked at."""
    world = _begun()
    _run_until(world, Phase.PUBLISH)
    world.deliver_all()
    world.old_there = False
    world.read_late = set(AGENTS)
    world.run_on()
    assert world.operation.state is State.DONE


def test_a_peer_that_was_restarted_proves_nothing() -> None:
    """Its numbers may have fallen back."""
    world = _begun()
    _run_until(world, Phase.STANDSTILL)
    world.startups[AGENTS[1]] += 1
    world.run_on()
    world.check()
    assert world.operation.state is State.ROLLED_BACK
    assert world.operation.failure is not None
    assert "(peer 1) was restarted since" in world.operation.failure.message


def test_a_cancel_before_the_decision_touches_nothing() -> None:
    world = _begun()
    _run_until(world, Phase.STANDSTILL)
    world.cancel()
    world.run_on()
    world.check()
    assert world.operation.state is State.ROLLED_BACK


@settings(max_examples=300)
@given(CHOICES, st.booleans(), st.integers(0, 60))
def test_any_order_of_faults_loses_nothing(
    actions: list[tuple[str, int]], newest_first: bool, written: int
) -> None:
    """Whatever else happens, and whenever a client writes to the old data."""
    world = _begun()
    for number, (action, which) in enumerate(actions):
        if number == written:
            world.write_old()
        _perturb(world, action, which)
        if world.over():
            break
    world.run_on(newest_first=newest_first)
    world.check()


# What is kept


def _old(**changes: Any) -> OldData:
    return replace(old_data_of(group(collection()), "docs"), **changes)


def test_what_is_kept_is_counted_by_numbers_not_by_logs() -> None:
    """The first operation after a recovery has an index in the log, and no number: a position by
    the index would leave room for a write."""
    end = WalEnd(log="l", index=3)
    still = Standstill(round=2, before=end, after=end, ack=2, first=2)
    manifest = group(collection(shards=1), shards=(replace(shard("docs", 0), standstill=still),))
    assert [one.number for one in old_data_of(manifest, "docs").shards] == [2]
    assert [one.number for one in _old().shards] == [2, 2]


def test_a_backup_that_may_lack_something_keeps_nothing() -> None:
    entry = collection(shards=1)
    loose = group(entry, shards=(shard("docs", 0, quiet=False),))
    with pytest.raises(Refused, match="not point-in-time"):
        old_data_of(loose, "docs")
    with pytest.raises(Refused, match="no uuid"):
        old_data_of(group(replace(entry, uuid="")), "docs")


PLACES = [(ShardId(0), PeerId(1), "Active"), (ShardId(1), PeerId(1), "Active")]


@pytest.mark.parametrize(
    ("uuid", "places", "what"),
    [
        (None, [], "was deleted"),
        ("other", PLACES, "was created again"),
        ("uuid-docs", PLACES[:1], "shards of 'docs' changed"),
        ("uuid-docs", [PLACES[0], (ShardId(1), PeerId(1), "Dead")], "is Dead"),
        ("uuid-docs", [PLACES[0], (ShardId(1), PeerId(2), "Active")], "was moved"),
    ],
)
def test_another_collection_by_now_is_not_overwritten(
    uuid: str | None, places: list[Any], what: str
) -> None:
    check_old(_old(), "uuid-docs", PLACES)
    with pytest.raises(Refused, match=what):
        check_old(_old(), uuid, places)


def test_a_peer_without_an_agent_cannot_be_read() -> None:
    with pytest.raises(Refused, match="no agent"):
        reading_tasks(_old(), {})


# The plan


def _plan(there: Any = None, **request: Any) -> PlacementPlan:
    asked = RestoreRequest(backup=Epoch(4), overwrite=True, **({"collections": (OLD,)} | request))
    known = {"collections": (OLD,)} if there is None else there
    return make_plan(group(collection(aliases=("live",))), asked, target(**known), ID)


def test_the_plan_says_what_is_deleted_and_what_is_kept() -> None:
    """Aliases of the old collection move with its name."""
    plan = _plan({"collections": (OLD,), "aliases": (("live", OLD), ("own", OLD))})
    (planned,) = plan.collections
    assert not plan.blockers
    assert (planned.action, planned.created_as) == ("overwrite", f"docs@{ID}")
    assert (planned.published_as, planned.aliases) == ("docs", ("docs", "live", "own"))
    assert planned.replaced == (("live", OLD), ("own", OLD))
    (warning,) = [one for one in plan.warnings if "deleted" in one]
    assert "get 404" in warning
    assert "held for 7 days" in warning
    assert "schedules that name 'docs' hold what the alias points to afterwards" in warning


@pytest.mark.parametrize(
    ("there", "what"),
    [
        ({}, "no collection 'docs' to overwrite"),
        ({"aliases": (("docs", "docs@r-1"),)}, "use --replace"),
        ({"collections": (OLD,), "aliases": (("live", "other"),)}, "'live' points to 'other'"),
    ],
)
def test_names_that_cannot_be_overwritten_are_refused(there: Any, what: str) -> None:
    assert what in " ".join(_plan(there).blockers)


def test_without_cluster_mode_nothing_is_overwritten() -> None:
    """One that was created again could not be told from the old one."""
    alone = replace(target(collections=(OLD,)), peers=(TargetPeer(peer_id=PeerId(0)),))
    asked = RestoreRequest(backup=Epoch(4), overwrite=True, collections=(OLD,))
    assert "no uuid" in " ".join(make_plan(group(collection()), asked, alone, ID).blockers)


MOMENT = Moment(asked=MomentRequest(at_ms=1), at_ms=1, instant=True, shards=())


@pytest.mark.parametrize(
    "other",
    [
        {"beside": True},
        {"replace": True},
        {"renames": (("docs", "new"),)},
        {"only_shards": (ShardId(0),)},
        {"shards": (ShardNumber(shards=4),)},
        {"target": MOMENT},
        {"collections": ()},
        {"collections": ("docs", "more")},
    ],
)
def test_what_does_not_go_together_is_refused(other: Any) -> None:
    with pytest.raises(Invalid):
        _plan(**other)
