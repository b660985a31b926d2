"""Backups under writes: rounds until no log grows between two of them, within a bound."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.backup.participant import StandstillEnds
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.etcd_records import Vote, WalEnd
from cleancut.core.protocol.events import Voted
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import Phase, State
from tests.unit.core.backup.table import COORDINATOR, EPOCH, Table
from tests.unit.core.backup.test_barrier import new_table, play_until

A1, A2 = AgentName("a1"), AgentName("a2")


def written_table(writes: int, **asked: object) -> Table:
    """Agents follow all logs, which grow in this many rounds."""
    table = new_table()
    table.writes = writes
    assert table.operation is not None
    request = encode(BackupRequest(attempts=1, **asked)).decode()  # type: ignore[arg-type]
    for event in table.queues[COORDINATOR]:
        object.__setattr__(event, "operation", replace(table.operation, request=request))
    return table


def committed(table: Table) -> Table:
    play_until(play_until(table, Phase.UPLOAD), Phase.IDLE)
    assert table.published
    return table


@pytest.mark.parametrize("writes", [0, 1, 4])
def test_every_shard_is_rolled_forward_to_one_standstill(writes: int) -> None:
    table = committed(written_table(writes))
    assert table.ctl.standstill == max(writes, 1) + 1
    end = (WalEnd("log", 9 + writes),)
    assert table.rolled == {
        name: StandstillEnds(table.ctl.standstill, end, end) for name in (A1, A2)
    }


def test_a_quiet_backup_needs_no_round() -> None:
    table = committed(new_table())
    assert (table.ctl.round, table.rolled) == (0, {A1: None, A2: None})


def test_without_a_standstill_in_time_it_is_a_backup_per_shard() -> None:
    table = play_until(written_table(10**6), Phase.STANDSTILL)
    table.barrier._standstill_until_s = table.now_s
    committed(table)
    assert (table.ctl.standstill, set(table.rolled.values())) == (0, {None})


def test_without_a_standstill_it_is_refused_if_it_must_be_point_in_time() -> None:
    table = play_until(written_table(10**6, require_point_in_time=True), Phase.STANDSTILL)
    table.barrier._standstill_until_s = table.now_s
    play_until(table, Phase.ABORT)
    assert table.operation is not None
    assert table.operation.state is State.ABORTED
    assert table.operation.failure is not None
    assert "no moment without writes" in table.operation.failure.message


def test_a_log_that_is_lost_ends_the_rounds() -> None:
    table = play_until(written_table(10**6), Phase.STANDSTILL)
    barrier = table.barrier
    for name in (A1, A2):
        lost = Vote(session=table.tokens[name], yes=True, round=1, lost="gone")
        barrier.step(Voted(name, EPOCH, "STANDSTILL", lost), table.now_s)
    assert barrier.waiting is not None
    assert (barrier.ctl.round, barrier.ctl.standstill) == (1, 0)


def test_a_vote_of_an_earlier_round_does_not_count() -> None:
    """All ends of a round are read after the round began, or there is no instant between two."""
    table = play_until(written_table(10**6), Phase.STANDSTILL)
    while table.ctl.round < 2:
        moves = table.moves()
        table.move(moves[0] if len(moves) == 1 else moves[-1])
    barrier, vote = table.barrier, table.votes["STANDSTILL", A1]
    assert vote.round == 1
    for name in (A1, A2):
        assert barrier.step(Voted(name, EPOCH, "STANDSTILL", vote), table.now_s) == []


def test_running_optimizations_are_not_waited_for() -> None:
    """The log holds the deletes that a snapshot lacks."""
    table = written_table(0)
    table.optimizing = 1
    play_until(table, Phase.CUT)
    assert table.barrier._optimizing_until_s == 0.0
