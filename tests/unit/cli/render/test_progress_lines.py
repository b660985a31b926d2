"""What a progress display says: phases, amounts, rates, failures, and the agents behind."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from cleancut.api.backups import Backup
from cleancut.api.rebalances import BalanceStep, Rebalance
from cleancut.api.reshards import Reshard, ReshardStep
from cleancut.api.restores import Restore
from cleancut.api.values import AgentProgress, Attempt, OperationError, PhaseTime
from cleancut.api.work import AWAY, Work, behind, work_of
from cleancut.cli.render.progress import Lines, failures, headline
from cleancut.cli.render.progress_lines import Pace, Seen, progress_lines
from cleancut.core.protocol.states import State

MIB = 1 << 20
FAILED = Attempt(
    epoch=16,
    duration_ms=1200,
    phases=(PhaseTime(phase="PREPARE", duration_ms=1000), PhaseTime(phase="CUT", start_ms=1000)),
    error=OperationError(reason="TIMED_OUT", message="a drain took too long"),
)
RUNNING = Attempt(
    epoch=17,
    phases=(
        PhaseTime(phase="PREPARE", duration_ms=300),
        PhaseTime(phase="CUT", start_ms=300, duration_ms=41),
        PhaseTime(phase="UPLOAD", start_ms=341),
    ),
)
READING = tuple(
    AgentProgress(agent=f"qdrant-{n}", phase="UPLOAD", bytes_done=n * MIB, bytes_total=9 * MIB)
    for n in (2, 8, 8)
)
STORING = tuple(replace(one, bytes_stored=4 * MIB, bytes_to_store=8 * MIB) for one in READING)
UPLOADING = Backup(
    id="b-1",
    epoch=17,
    state=State.UPLOADING,
    created_at="2026-11-30T01:00:00Z",
    attempt=2,
    attempts=3,
    attempt_history=(FAILED, RUNNING),
    progress=STORING,
)
NOW_S = 1796000472.0


def seen(operation: Backup | Restore, rate: float | None = None) -> Seen:
    said = headline("backup", operation)
    return Seen(operation, said, tuple(failures(operation)), rate, 3.0, now_s=NOW_S)


@pytest.mark.parametrize("width", [78, 98, 118])
def test_a_line_for_each_phase_and_one_for_all_agents(width: int) -> None:
    lines = progress_lines(seen(UPLOADING, rate=2.0 * MIB), width)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    assert lines[0].startswith("backup #17: running (uploading), attempt 2 of 3, ")
    assert "attempt 1 ended after 1.2 s in CUT: a drain took too long" in text
    assert [line.split()[0] for line in lines if "\u2501" in line] == ["prepare", "cut", "upload"]
    assert "50 %  stored 12.0 MiB of 24.0 MiB  2.0 MiB/s  6 s left" in text
    assert "41 ms" in text


def test_without_room_the_bar_goes_and_not_the_numbers() -> None:
    lines = progress_lines(seen(UPLOADING, rate=2.0 * MIB), 58, ascii_only=True)
    (line,) = [line for line in lines if line.startswith("upload")]
    assert "#" not in line
    assert "6 s left" in line
    assert any("####" in line for line in lines)


def test_a_total_is_shown_once_it_is_known_and_never_passed() -> None:
    """That of the backup before is an estimate, and nothing is known once it is exceeded."""
    reading = replace(UPLOADING, progress=READING)
    assert work_of(reading) == Work("read", 18 * MIB, 27 * MIB, estimated=True)
    more = (*READING[:2], replace(READING[2], bytes_done=99 * MIB))
    assert work_of(replace(UPLOADING, progress=more)) == Work("read", 109 * MIB)
    mixed = (*STORING[:2], READING[2])
    assert work_of(replace(UPLOADING, progress=mixed)) == Work("read", 18 * MIB, 27 * MIB, True)
    assert work_of(UPLOADING) == Work("stored", 12 * MIB, 24 * MIB)
    assert work_of(replace(UPLOADING, state=State.SEALING)) is None
    text = "\n".join(progress_lines(seen(replace(UPLOADING, progress=more)), 98))
    assert "read 109.0 MiB" in text
    assert "%" not in text
    assert "\u2501 " in text  # the phases before


def test_only_agents_that_are_behind_have_a_line_of_their_own() -> None:
    assert [one.agent for one in behind(READING)] == ["qdrant-2"]
    assert behind(READING[1:]) == []
    text = "\n".join(progress_lines(seen(replace(UPLOADING, progress=READING)), 98))
    assert "behind: qdrant-2 UPLOAD 2.0 MiB of 9.0 MiB" in text
    assert "qdrant-8" not in text
    noted = (AgentProgress(agent="qdrant-1", phase="PREPARE (optimizing: 3)"),)
    waiting = replace(UPLOADING, state=State.PREPARING, progress=noted)
    assert "qdrant-1 PREPARE (optimizing: 3)" in progress_lines(seen(waiting), 98)


def test_other_operations_count_what_they_have() -> None:
    pulled = Restore(id="r-1", state=State.RECOVERING, progress=READING)
    assert work_of(pulled) == Work("pulled", 18 * MIB, 27 * MIB)
    steps = (ReshardStep(shards=2, shard_id=1, done=True), ReshardStep(shards=3, shard_id=2))
    assert work_of(Reshard(id="s-1", state=State.MOVING, steps=steps)) == Work("steps", 1, 2)


def test_an_agent_that_is_away_is_named_and_its_share_is_not_taken_for_nothing() -> None:
    """The others have stored all of theirs: that is not 100 % of it."""
    gone = AgentProgress(agent="qdrant-9", phase=f"UPLOAD {AWAY}")
    waiting = replace(UPLOADING, progress=(*UPLOADING.progress, gone))
    assert work_of(waiting) == Work("stored", 12 * MIB)
    lines = progress_lines(Seen(waiting, "backup #7: running (uploading)"), 80)
    assert lines[-1] == "qdrant-9 UPLOAD (away)"
    assert "%" not in "".join(lines)


def test_a_rebalance_counts_its_steps_while_they_are_known() -> None:
    """Not while Qdrant does not say where shards are, nor in another state."""
    one = BalanceStep(action="move", collection="docs", shard_id=0, source_peer_id=7, done=True)
    moving = Rebalance(id="m-1", state=State.MOVING, steps=(one, replace(one, done=False)))
    assert work_of(moving) == Work("steps", 1, 2)
    assert work_of(replace(moving, steps=(one, replace(one, done=None)))) is None
    assert work_of(replace(moving, state=State.VERIFYING)) is None
    (_, line) = progress_lines(Seen(moving, "rebalance m-1: running (moving)"), 60, ascii_only=True)
    assert line.startswith("moving     ###")
    assert line.endswith(" 50 %  1 of 2 steps")


def test_a_rate_is_of_what_was_seen_lately_and_of_one_kind_of_work() -> None:
    pace = Pace()
    pace.see(Work("read", 100), 0.0)
    assert pace.rate(1.0) is None
    pace.see(Work("read", 500), 4.0)
    assert pace.rate(4.0) == 100.0
    assert pace.rate(8.0) == 50.0  # nothing has come since
    for at_s in range(30, 60):
        pace.see(Work("read", 500 + at_s), float(at_s))
    assert pace.rate(59.0) == 1.0
    pace.see(Work("stored", 3), 60.0)
    assert pace.rate(60.0) is None


def test_lines_without_a_terminal_come_with_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not with each tick: a tenth of the work is a change, a few bytes are not."""
    view = Lines("backup")
    waiting = Backup(id="b-1", epoch=17, warnings=("waits behind backup #14 (UPLOAD)",))
    view.see(waiting)
    view.see(waiting)
    for stored in (0, MIB, 2 * MIB, 2 * MIB + 5, 8 * MIB):
        view.see(replace(UPLOADING, progress=(replace(STORING[0], bytes_stored=stored),)))
    view.see(replace(UPLOADING, state=State.COMMITTED, progress=()))
    assert capsys.readouterr().err.splitlines() == [
        "backup #17: pending: waits behind backup #14 (UPLOAD)",
        "backup #17: running (uploading), attempt 2 of 3",
        "backup attempt 1 ended after 1.2 s in CUT: a drain took too long",
        "backup #17: running (uploading), attempt 2 of 3: stored 1.0 MiB of 8.0 MiB, 12 %",
        "backup #17: running (uploading), attempt 2 of 3: stored 2.0 MiB of 8.0 MiB, 25 %",
        "backup #17: running (uploading), attempt 2 of 3: stored 8.0 MiB of 8.0 MiB, 100 %",
        "backup #17: ok, attempt 2 of 3",
    ]
