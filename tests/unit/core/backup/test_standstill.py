"""Backups under writes: rounds until no log grows between two of them, within a bound."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from cleancut.core.backup.participant import StandstillEnds
from cleancut.core.backup.warnings import never_still
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.etcd_records import Vote, WalEnd
from cleancut.core.protocol.events import Cancelled, Tick, Voted
from cleancut.core.protocol.fence import Fence, FencedAlias
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import CLOSED, Phase, State
from tests.unit.core.backup.table import COORDINATOR, EPOCH, Table
from tests.unit.core.backup.test_barrier import LONG_FENCE, explored, new_table, play_until

A1, A2 = AgentName("a1"), AgentName("a2")


FENCE = Fence(epoch=EPOCH, budget_s=20.0, aliases=(FencedAlias(alias="w", collection="c"),))
BUSY = 10**6


def end_search(table: Table) -> None:
    """The bound of the rounds is over."""
    search = table.barrier._search
    table.barrier._search = dataclasses.replace(search, until_s=table.now_s)


def written_table(writes: int, fence: Fence | None = None, **asked: object) -> Table:
    """Agents follow all logs, which grow in this many rounds."""
    table = new_table(fence=fence)
    table.writes = writes
    assert table.operation is not None
    request = encode(BackupRequest(**{"attempts": 1, **asked})).decode()  # type: ignore[arg-type]
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
    """However little time there is, two rounds are made: logs are stored to the end in the last."""
    table = play_until(written_table(BUSY), Phase.STANDSTILL)
    end_search(table)
    committed(table)
    last = table.ctl.round
    assert {one.round for one in table.rolled.values() if one} == {table.ctl.standstill} == {last}
    assert 0 < table.ctl.skew_ms <= table.ctl.waited_ms
    (warning,) = never_still(table.ctl)
    for words in ("no moment without writes to any shard", "2 rounds within", "2 of 2 shards"):
        assert words in warning


def test_without_a_standstill_it_is_refused_if_it_must_be_point_in_time() -> None:
    table = play_until(written_table(BUSY, require_point_in_time=True), Phase.STANDSTILL)
    end_search(table)
    play_until(table, Phase.ABORT)
    assert table.operation is not None
    assert table.operation.state is State.ABORTED
    assert table.operation.failure is not None
    assert "no moment without writes" in table.operation.failure.message


def test_a_log_that_is_lost_ends_the_rounds() -> None:
    table = play_until(written_table(BUSY), Phase.STANDSTILL)
    barrier = table.barrier
    for name in (A1, A2):
        lost = Vote(session=table.tokens[name], yes=True, round=1, lost="gone")
        barrier.step(Voted(name, EPOCH, "STANDSTILL", lost), table.now_s)
    assert barrier.waiting is not None
    assert (barrier.ctl.round, barrier.ctl.standstill) == (1, 0)


def test_a_vote_of_an_earlier_round_does_not_count() -> None:
    """All ends of a round are read after the round began, or there is no instant between two."""
    table = play_until(written_table(BUSY), Phase.STANDSTILL)
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


def phases_of(table: Table) -> list[str]:
    """The changes of phase, without repeats of rounds."""
    told = [said.partition(" to ")[2] for said in table.said if " to " in said]
    return [one for one, before in zip(told, ["", *told], strict=False) if one != before]


def fenced_in_rounds(**asked: object) -> Table:
    """Rounds of a busy cluster after which the fence was raised."""
    table = play_until(written_table(BUSY, FENCE, **asked), Phase.STANDSTILL)
    end_search(table)
    return play_until(play_until(table, Phase.FENCE), Phase.STANDSTILL)


def test_a_fence_is_raised_only_for_the_standstill() -> None:
    """Not while all shards are cut: that takes far longer. Each agent sees it before the rounds
    that find the standstill, and after the last of them."""
    table = committed(fenced_in_rounds())
    rounds = ["CUT", "SEAL", "STANDSTILL", "FENCE", "STANDSTILL", "UPLOAD", "COMMIT", "IDLE"]
    assert phases_of(table) == ["PREPARE", *rounds]
    assert table.ctl.standstill == table.ctl.round > 2
    assert table.ctl.fenced
    assert table.ctl.fence_ms > 0
    assert table.staged is not None
    assert [(one.before, one.after) for one in table.staged.seen] == [(True, True)] * 2
    assert not table.raised
    assert table.fence_key is None


def test_writes_that_a_fence_let_in_are_waited_for() -> None:
    """By further rounds: nothing else is asked of Qdrant while clients wait."""
    table = play_until(written_table(BUSY, FENCE), Phase.STANDSTILL)
    table.late = 3
    end_search(table)
    before = play_until(table, Phase.FENCE).ctl.round
    assert committed(table).ctl.standstill == before + 4


@pytest.mark.parametrize("writes", [-1, 0, 4])
def test_a_standstill_that_is_found_needs_no_fence(writes: int) -> None:
    """Whether the readings prove it, or rounds find it: a fence is for as long as it is needed."""
    table = committed(written_table(writes, FENCE) if writes >= 0 else quiet_table())
    assert "FENCE" not in phases_of(table)
    assert table.staged is not None
    assert (table.ctl.fenced, table.staged.seen) == (False, ())


def quiet_table() -> Table:
    """Logs are followed, and nothing is written."""
    table = written_table(0, FENCE)
    table.applied = 6
    return table


def test_writers_who_go_round_the_fence_end_it_in_time() -> None:
    """Their backup is per shard, as with a fence around the cuts, and says that it was fenced."""
    table = fenced_in_rounds()
    table.written = BUSY
    while table.ctl.phase is Phase.STANDSTILL:
        table.now_s += 0.1
        table.move(table.moves()[0])
        assert table.now_s < FENCE.budget_s
    assert (table.ctl.standstill, table.raised) == (table.ctl.round, False)
    (warning,) = never_still(committed(table).ctl)
    assert "while a fence held writes off" in warning


def test_half_of_the_budget_is_left_for_the_end_of_the_fence() -> None:
    """However soon rounds without a fence end."""
    table = fenced_in_rounds()
    raised_s = table.barrier._fence_until_s - FENCE.budget_s
    assert table.barrier._search.until_s - raised_s == FENCE.budget_s / 2


def test_a_fence_that_is_lost_during_the_rounds_ends_the_attempt() -> None:
    """Unless a standstill was found all the same: that is proven without a fence."""
    table = fenced_in_rounds()
    table.written, table.raised = BUSY, False
    end_search(table)
    play_until(table, Phase.ABORT)
    assert table.operation is not None
    assert table.operation.failure is not None
    assert "fence was gone" in table.operation.failure.message
    table = fenced_in_rounds()
    table.raised = False
    committed(table)
    assert table.staged is not None
    assert [one.after for one in table.staged.seen] == [False, False]


@pytest.mark.parametrize("end", ["budget", "cancel", "takeover"])
@pytest.mark.parametrize("phase", [Phase.FENCE, Phase.STANDSTILL])
def test_every_end_lifts_the_fence(end: str, phase: Phase) -> None:
    table = play_until(written_table(BUSY, FENCE), Phase.STANDSTILL)
    end_search(table)
    play_until(table, Phase.FENCE)
    while not table.raised or table.ctl.phase is not phase:
        table.move(table.moves()[-1])
    if end == "takeover":
        table.revive(COORDINATOR)
        play_until(table, Phase.ABORT)
    else:
        over_s = table.now_s + (FENCE.budget_s if end == "budget" else 0.0)
        for command in table.barrier.step(Tick() if end == "budget" else Cancelled(), over_s):
            table.carry_out(COORDINATOR, command)
    assert table.ctl.phase in CLOSED
    assert (table.raised, table.fence_key) == (False, None)


@pytest.mark.parametrize(("attempts", "phase"), [(2, Phase.ABORT), (1, Phase.UPLOAD)])
def test_logs_that_are_lost_are_followed_again_where_a_fence_is_asked_for(
    attempts: int, phase: Phase
) -> None:
    """What was cut under writes cannot be proven any more; another attempt can be fenced."""
    table = play_until(written_table(BUSY, FENCE, attempts=attempts), Phase.STANDSTILL)
    for name in (A1, A2):
        lost = Vote(session=table.tokens[name], yes=True, round=1, lost="gone")
        table.votes["STANDSTILL", name] = lost
        table.queues[COORDINATOR].append(Voted(name, EPOCH, "STANDSTILL", lost))
    play_until(table, phase)
    assert not table.raised
    assert table.operation is not None
    pending = table.operation.state is State.PENDING
    assert pending is (phase is Phase.ABORT)
    assert bool(never_still(table.ctl)) is not pending


@pytest.mark.parametrize(("agents", "crashes"), [((A1,), 1), ((A1, A2), 0)])
def test_every_history_under_writes(agents: tuple[AgentName, ...], crashes: int) -> None:
    """As above, with rounds; what is stored is of the last two, of every agent."""
    ends, _ = explored(agents, crashes, writes=1)
    assert Phase.IDLE in ends


@pytest.mark.parametrize(("agents", "crashes"), [((A1,), 1), ((A1, A2), 0)])
def test_every_history_of_a_fence_in_the_rounds(
    agents: tuple[AgentName, ...], crashes: int
) -> None:
    """As above; the fence is raised after the rounds have found nothing, and ends with them."""
    ends, changes = explored(agents, crashes, LONG_FENCE, 99)
    assert Phase.IDLE in ends
    assert {"STANDSTILL to FENCE", "FENCE to STANDSTILL"} <= changes
    assert "PREPARE to FENCE" not in changes
