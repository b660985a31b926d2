"""Tables: at 80 columns a number, a state and a time are never cut, and names fold."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from cleancut.api.backups import Backup, BackupBytes, Evidence
from cleancut.api.restores import Restore, RestoredCollection
from cleancut.api.schedules import RetentionRules, Schedule
from cleancut.api.state_words import state_of
from cleancut.api.values import AgentProgress, OperationError
from cleancut.cli.render.backup_tables import LIST_DROPPED, backup_list
from cleancut.cli.render.grids import facts, print_table
from cleancut.cli.render.progress_lines import agent_line
from cleancut.cli.render.rebalance_tables import rebalance_list
from cleancut.cli.render.reshard_tables import reshard_list
from cleancut.cli.render.restore_tables import restore, restore_list
from cleancut.cli.render.schedule_tables import schedule_list
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.states import FINAL_STATES, State

NAMES = ("a-collection-with-a-long-name", "another-one", "logs", "users")
BACKUP = Backup(
    id="b-cbd44d1e5a7f0123",
    epoch=123456,
    state=State.COMMITTED,
    cut_at="2026-11-29T18:08:51.123Z",
    collections=NAMES,
    evidence=Evidence(consistency=Consistency.POINT_IN_TIME, skew_ms=41),
    bytes=BackupBytes(protected=10**12, new=10**9),
)


def lines(table: object, width: int) -> list[str]:
    out = io.StringIO()
    print_table(Console(file=out, width=width), table)  # type: ignore[arg-type]
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_what_a_backup_is_chosen_by_is_never_cut(width: int) -> None:
    text = "\n".join(lines(backup_list([BACKUP]), width))
    for part in ("123456", "ok", " ago"):
        assert part in text
    assert "…" not in text


def test_columns_are_left_out_from_the_right_and_never_what_one_chooses_by() -> None:
    """The order is documented; a column is shown whole or not at all."""
    heads = {width: lines(backup_list([BACKUP]), width)[0].split("  ") for width in (40, 80, 120)}
    shown = {width: [one.strip() for one in head if one.strip()] for width, head in heads.items()}
    assert shown[40] == ["BACKUP", "STATE", "AGE", "SIZE"]
    assert shown[80][:7] == [
        *("BACKUP", "STATE", "AGE", "SIZE", "ADDED", "SCHEDULE", "CONSISTENCY")
    ]
    assert "COLLECTIONS" in shown[120]
    assert lines(backup_list([BACKUP]), 400)[0].split()[-1] == "ID"
    page = Path("docs/reference/status.md").read_text(encoding="utf-8")
    assert ", ".join(f"`{title}`" for title in LIST_DROPPED) in page


def test_a_list_of_schedules_says_what_became_of_the_last_one() -> None:
    one = Schedule(
        name="nightly",
        do="backup",
        cron="30 2 * * *",
        time_zone="Europe/Berlin",
        next_at="2026-11-30T01:30:00Z",
        last_due_at="2026-11-29T01:30:00Z",
        last_state=State.COMMITTED,
        retention=RetentionRules(keep_last=3),
        max_age_s=36 * 3600.0,
        last_id=BACKUP.id,
    )
    head, row = lines(schedule_list([one]), 80)
    assert head.split()[:5] == ["NAME", "DOES", "LAST", "RESULT", "NEXT"]
    assert " ok " in row
    assert "2026-11-30 02:30 CET" in row
    wide = lines(schedule_list([one]), 400)[1]
    assert "keep-last 3" in wide
    assert BACKUP.id in wide


def test_an_empty_list_says_how_to_make_a_backup() -> None:
    assert "cleancut backup create" in "".join(lines(backup_list([]), 80))


@pytest.mark.parametrize(
    ("table", "command"),
    [
        (restore_list([]), "cleancut restore plan latest"),
        (rebalance_list([]), "cleancut rebalance plan"),
        (reshard_list([]), "cleancut reshard plan"),
        (schedule_list([]), "settings"),
    ],
)
def test_every_empty_list_says_what_comes_next(table: object, command: str) -> None:
    assert command in "".join(lines(table, 80))


def test_a_list_of_backups_fits_into_80_columns() -> None:
    assert all(len(line.rstrip()) <= 80 for line in lines(backup_list([BACKUP]), 80))


def test_a_backup_without_a_number_is_listed_by_its_id() -> None:
    waiting = Backup(id="b-cbd44d1e5a7f0123", state=State.PENDING)
    assert lines(backup_list([waiting]), 80)[1].split()[:2] == ["b-cbd44d1e5a7f0123", "pending"]


def test_a_list_of_restores_is_never_cut() -> None:
    one = Restore(
        id="r-cbd44d1e5a7f0123",
        backup_id=BACKUP.id,
        backup_epoch=123456,
        state=State.NEEDS_OPERATOR,
        created_at="2026-11-29T18:08:51.123Z",
        collections=tuple(RestoredCollection(name=name) for name in NAMES),
    )
    text = "\n".join(lines(restore_list([one]), 80))
    for part in (one.id, "123456", "needs operator", " ago"):
        assert part in text


def test_each_end_has_a_word_of_its_own_and_the_rest_is_running() -> None:
    words = {state: state_of(Backup(id="b", state=state)) for state in State}
    assert {words[state] for state in FINAL_STATES} == {
        *("ok", "damaged", "corrupt", "aborted", "canceled", "failed", "deleting", "needs operator")
    }
    assert {words[state] for state in set(State) - FINAL_STATES} == {"pending", "running"}
    asked = OperationError(reason="CANCELLED", message="cancelled on request")
    assert state_of(Backup(id="b", state=State.ABORTED, error=asked)) == "canceled"


def test_a_name_cannot_turn_the_direction_of_a_table() -> None:
    odd = Backup(id="b", state=State.PENDING, collections=("a\u202eb",))
    assert "a\\u202eb" in "\n".join(lines(backup_list([odd]), 400))


def test_progress_never_shows_more_done_than_there_is() -> None:
    """What is to do is that of the backup before, until it is passed."""
    going = AgentProgress(agent="a", phase="UPLOAD", bytes_done=46 << 20, bytes_total=30 << 20)
    assert "of" not in agent_line(going).split()
    assert "of" in agent_line(replace(going, bytes_total=90 << 20)).split()


def test_a_restore_that_is_shown_fits_into_80_columns() -> None:
    made = RestoredCollection(
        name="articles", published_as="articles", shards=6, status="green", replicas_active=True
    )
    shown = lines(restore(Restore(id="r-cbd44d1e5a7f0123", collections=(made,))), 80)
    assert "REPLICAS" in shown[-2]
    assert max(map(len, shown)) <= 80


def test_no_line_ends_between_a_number_and_its_unit() -> None:
    phases = ", ".join(f"phase {number} ms" for number in range(100, 160))
    for width in range(20, 40):
        for line in lines(facts([("phases", phases)]), width):
            assert not line.removeprefix("phases").lstrip().startswith("ms")
