"""The cut waits for running optimizations, within a bound."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.core.backup.barrier import Barrier
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.commands import Run, Stop
from cleancut.core.protocol.effect_requests import Drain, Drained
from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.events import Done, Event, Tick, Voted
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import Phase, State
from tests.unit.core.backup.table import EPOCH, Table
from tests.unit.core.backup.test_barrier import new_table

A1, A2 = AgentName("a1"), AgentName("a2")


def optimizing_table(**asked: object) -> Table:
    """All agents are ready, and Qdrant optimizes a shard of each."""
    table = new_table()
    table.optimizing = 1
    for turn in range(200):
        if table.barrier._optimizing_until_s:
            break
        moves = table.moves()
        table.move(moves[turn % len(moves)])
    assert table.barrier.operation is not None
    request = encode(BackupRequest(attempts=2, **asked)).decode()  # type: ignore[arg-type]
    table.barrier.operation = replace(table.barrier.operation, request=request)
    return table


def test_the_cut_waits_until_optimizations_are_over() -> None:
    """A snapshot that is taken meanwhile lacks deletes. What PREPARE may take grows by the wait."""
    table = optimizing_table()
    barrier, now_s = table.barrier, table.now_s
    assert barrier.deadline_s >= barrier.phase_began_s + 30.0 + 60.0
    assert barrier.step(Tick(), now_s + 31.0) == []
    votes = {name: vote for (phase, name), vote in table.votes.items() if phase == "PREPARE"}
    done = [Voted(name, EPOCH, "PREPARE", replace(votes[name], optimizing=0)) for name in (A1, A2)]
    assert barrier.step(done[0], now_s + 32.0) == []
    (drain,) = barrier.step(done[1], now_s + 33.0)
    assert isinstance(drain, Run)
    assert isinstance(drain.effect, Drain)
    barrier.step(Voted(A1, EPOCH, "PREPARE", votes[A1]), now_s + 33.0)
    assert barrier.step(Done(drain.effect, Drained((), "at")), now_s + 33.0) == []
    assert barrier.ctl.phase is Phase.PREPARE, "one that began with the drain is waited for too"


def test_the_wait_for_optimizations_is_bounded() -> None:
    """Then the backup goes on and is not proven, or is tried again if it must be."""
    table = optimizing_table()
    until_s = table.barrier._optimizing_until_s
    assert table.barrier.step(Tick(), until_s - 0.001) == []
    (drain,) = table.barrier.step(Tick(), until_s)
    assert isinstance(drain, Run)
    table.barrier.step(Done(drain.effect, Drained((), "at")), until_s)
    assert table.barrier.ctl.phase is Phase.CUT
    strict = optimizing_table(require_point_in_time=True)
    failure = check_at(strict.barrier, Tick(), strict.barrier._optimizing_until_s)
    assert failure.reason == "NOT_POINT_IN_TIME"
    assert "2 shards are still under optimization" in failure.message


def check_at(barrier: Barrier, event: Event, now_s: float) -> Failure:
    """The failure with which `event` makes the operation pending again."""
    commands = barrier.step(event, now_s)
    assert any(isinstance(command, Stop) for command in commands)
    assert barrier.operation is not None
    assert barrier.operation.state is State.PENDING
    assert barrier.operation.failure is not None
    return barrier.operation.failure
