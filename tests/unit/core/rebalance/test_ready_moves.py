"""Which steps of a rebalance are done, under way, or may start: from how the shards lie alone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.rebalance.plan import Step
from cleancut.core.rebalance.ready_moves import (
    ShardNow,
    StepState,
    TransferConcurrency,
    done_steps,
    finished,
    next_steps,
    replicas_differ,
    startable,
    step_state,
)

A, B, C, D = (PeerId(number) for number in (1, 2, 3, 4))
ON = "Active"
AGENTS = {1: "qdrant-0"}


def step(action: str, source: PeerId, target: PeerId | None = None, shard: int = 0) -> Step:
    return Step(
        action=action,  # type: ignore[arg-type]
        collection="docs",
        shard_id=ShardId(shard),
        source=source,
        target=target,
        size_bytes=100,
    )


MOVE, GROW, DROP = step("move", A, B), step("replicate", A, B), step("drop", A)
SURPLUS = replace(DROP, keeps=2)


@pytest.mark.parametrize(
    ("one", "now", "expected"),
    [
        (MOVE, ShardNow({A: ON}), StepState.READY),
        (MOVE, ShardNow({A: ON, B: "Partial"}, (A, B)), StepState.RUNNING),
        (MOVE, ShardNow({A: ON, B: ON}, (A, B)), StepState.RUNNING),
        (MOVE, ShardNow({A: ON, B: ON}), StepState.DONE),  # by somebody else: the source stays
        (MOVE, ShardNow({B: ON}), StepState.DONE),
        (MOVE, ShardNow({A: ON, B: "Dead"}), StepState.BUSY),
        (MOVE, ShardNow({A: ON, C: "Partial"}, (A, C)), StepState.BUSY),
        (MOVE, ShardNow({C: ON}), StepState.INAPPLICABLE),
        (MOVE, ShardNow({A: "Dead"}), StepState.INAPPLICABLE),
        (MOVE, None, StepState.DONE),
        (GROW, ShardNow({A: ON}), StepState.READY),
        (GROW, ShardNow({A: ON, B: ON}), StepState.DONE),
        (DROP, ShardNow({A: ON, B: ON}), StepState.READY),
        (DROP, ShardNow({B: ON}), StepState.DONE),
        (DROP, ShardNow({A: ON}), StepState.INAPPLICABLE),
        (DROP, ShardNow({A: ON, B: "Dead"}), StepState.INAPPLICABLE),
        (DROP, ShardNow({A: ON, B: ON, C: "Partial"}, (B, C)), StepState.BUSY),
        (SURPLUS, ShardNow({A: ON, B: ON, C: ON}), StepState.READY),
        (SURPLUS, ShardNow({A: ON, B: ON}), StepState.DONE),  # moved back: it is not surplus
        (SURPLUS, ShardNow({A: ON, B: ON, C: "Dead"}), StepState.INAPPLICABLE),
    ],
)
def test_how_far_a_step_is(one: Step, now: ShardNow | None, expected: StepState) -> None:
    """A drop is only ready while another replica is active."""
    assert step_state(one, now) is expected


def test_a_step_is_over_once_a_later_one_of_its_shard_has_begun() -> None:
    """Neither does the first match any more; it must not be done again."""
    steps = [step("move", A, B), step("move", B, C)]
    shard = steps[0].shard
    assert next_steps(steps, {shard: ShardNow({A: ON})}) == [(steps[0], StepState.READY)]
    under_way = ShardNow({B: ON, C: "Partial"}, (B, C))
    assert next_steps(steps, {shard: under_way}) == [(steps[1], StepState.RUNNING)]
    assert next_steps(steps, {shard: ShardNow({C: ON})}) == []


def test_steps_that_the_cluster_shows_done_are_counted() -> None:
    """Also of a shard that was deleted, and those before one that is under way."""
    steps = [
        step("replicate", A, B, shard=1),
        step("drop", A, shard=1),
        step("move", A, B, shard=2),
        step("move", A, B, shard=3),
        step("move", A, C, shard=4),
    ]
    now = {
        ("docs", ShardId(1)): ShardNow({A: ACTIVE, B: ACTIVE}),
        ("docs", ShardId(2)): ShardNow({A: ACTIVE}, (A, B)),
        ("docs", ShardId(4)): ShardNow({C: ACTIVE}),
    }
    assert done_steps(steps, now) == {steps[0], steps[3], steps[4]}


def test_waves_wait_for_each_other() -> None:
    first = step("move", A, B, shard=1)
    second = Step(action="move", collection="docs", shard_id=ShardId(2), source=B, target=A, wave=1)
    now = {first.shard: ShardNow({A: ON}), second.shard: ShardNow({B: ON})}
    assert [s for s, _ in next_steps([first, second], now)] == [first]
    now[first.shard] = ShardNow({B: ON})
    assert [s for s, _ in next_steps([first, second], now)] == [second]


def test_an_aborted_transfer_is_not_finished() -> None:
    """Its time tells nothing of how fast transfers are."""
    steps = [step("move", A, B, shard=number) for number in range(3)]
    left = [(steps[0], StepState.READY), (steps[1], StepState.RUNNING)]
    assert finished(steps, left) == [steps[2]]


def test_a_peer_gives_one_and_gets_one_at_a_time() -> None:
    ready = [
        step("move", A, B, shard=1),
        step("move", A, C, shard=2),  # a second from A
        step("move", D, B, shard=3),  # a second to B
        step("move", B, A, shard=4),  # the other way round is free
        step("drop", A, shard=5),
    ]
    assert startable(ready, []) == [ready[0], ready[3], ready[4]]
    assert startable(ready[1:], [ready[0]]) == [ready[3], ready[4]]


def test_bandwidth_aware_counts_both_ends() -> None:
    ready = [step("move", A, B, shard=1), step("move", B, C, shard=2), step("move", C, D, shard=3)]
    assert startable(ready, [], at_once=3) == [ready[0], ready[2]]
    assert startable(ready, [], at_once=1) == [ready[0]]


def test_the_pace_follows_the_rate() -> None:
    """One more while two together are as fast as the best; one less as soon as they are not."""
    pace = TransferConcurrency()
    assert pace.at_once == 1
    pace.ended(100, 1.0, others=0)
    assert pace.at_once == 2
    pace.ended(100, 1.0, others=1)
    assert pace.at_once == 3
    pace.ended(100, 2.0, others=0)
    assert pace.at_once == 2
    for _ in range(9):
        pace.ended(100, 100.0, others=0)
    assert pace.at_once == 1


def test_replicas_differ_unless_all_were_counted_alike() -> None:
    """A replica that is Active may lack points: no other one is dropped then."""
    assert replicas_differ({A: (5, 5), B: (5, 5)}, AGENTS, exact=True) == ""
    assert replicas_differ({A: (5, 5)}, AGENTS, exact=True) == ""
    assert "qdrant-0 (peer 1): 10, peer 2: 1010" in replicas_differ(
        {A: (10, 10), B: (1010, 1010)}, AGENTS, exact=True
    )
    assert replicas_differ({A: (10, 10), B: (1010, 1010)}, AGENTS, exact=False)
    assert replicas_differ({}, AGENTS, exact=True)
    assert replicas_differ({}, AGENTS, exact=False)


def test_writers_may_move_the_counts_of_a_move_but_not_of_a_drop() -> None:
    """A moved replica is copied whole; what is dropped is copied nowhere."""
    written = {A: (100, 105), B: (103, 108)}
    assert replicas_differ(written, AGENTS, exact=False) == ""
    assert "qdrant-0 (peer 1): 100 to 105, peer 2: 103 to 108" in replicas_differ(
        written, AGENTS, exact=True
    )
    assert replicas_differ({A: (100, 105), B: (106, 108)}, AGENTS, exact=False)
