"""`backup check`: which backup decides, and what a monitoring system is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from cleancut.api.backups import Backup, Evidence, MissingCollection
from cleancut.cli.commands.check import CRITICAL, OK, WARNING, AgeLimits, judge, judge_all
from cleancut.cli.main import run
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.states import State
from tests.unit.cli.test_offline import Shelf

NOW_S = 1_800_000_000.0
HOUR_S = 3600.0


def backup(
    hours: float,
    *,
    of: tuple[str, ...] = ("a",),
    consistency: Consistency = Consistency.POINT_IN_TIME,
    fenced: bool = False,
    state: State = State.COMMITTED,
) -> Backup:
    return Backup(
        id=f"b-{hours:.0f}",
        state=state,
        cut_at=format_time(NOW_S - hours * HOUR_S),
        collections=of,
        evidence=Evidence(consistency=consistency, fenced=fenced, skew_ms=1),
    )


def test_a_collection_is_found_by_an_alias_of_that_time() -> None:
    old, new = backup(20, of=("docs",)), backup(2, of=("docs@r-1",))
    new = replace(new, aliases={"docs": "docs@r-1"})
    assert judged(new, old, of=("docs",)) == (OK, new.id)
    assert judged(replace(new, aliases={}), old, of=("docs",)) == (WARNING, old.id)


def judged(*backups: Backup, of: tuple[str, ...] = (), require: str = "") -> tuple[int, str]:
    limits = AgeLimits(24 * HOUR_S, 12 * HOUR_S, require)
    found = judge(backups, of, limits, NOW_S) if of else judge_all(backups, (), limits, NOW_S)
    return found.state, found.backup_id


def test_the_newest_committed_one_decides() -> None:
    assert judged(backup(1), backup(30)) == (OK, "b-1")
    assert judged(backup(13), backup(30)) == (WARNING, "b-13")
    assert judged(backup(25), backup(30)) == (CRITICAL, "b-25")
    assert judged(backup(1, state=State.ABORTED), backup(30)) == (CRITICAL, "b-30")
    assert judged(backup(1, state=State.SEEDED), backup(30)) == (CRITICAL, "b-30")
    assert judged() == (CRITICAL, "")
    assert judged(backup(-1)) == (OK, "b--1"), "a clock that is behind is no old backup"


def test_only_good_enough_ones_count() -> None:
    per_shard = backup(1, consistency=Consistency.PER_SHARD)
    found = (per_shard, backup(13), backup(20, fenced=True))
    assert judged(*found) == (OK, "b-1")
    assert judged(*found, require="point-in-time") == (WARNING, "b-13")
    assert judged(*found, require="fenced") == (WARNING, "b-20")


def test_of_collections_the_oldest_decides() -> None:
    found = (backup(1), backup(13, of=("a", "b")), backup(30, of=("c",)))
    assert judged(*found, of=("a",)) == (OK, "b-1")
    assert judged(*found, of=("a", "b")) == (WARNING, "b-13")
    assert judged(*found, of=("a", "b", "c")) == (CRITICAL, "b-30")
    assert judged(*found, of=("a", "d")) == (CRITICAL, "")


def test_a_recent_backup_of_some_hides_no_other_collection() -> None:
    """A schedule that backs up `a` alone says nothing of `b`."""

    def all_of(*names: str) -> tuple[int, str]:
        found = judge_all(backups, names, AgeLimits(24 * HOUR_S), NOW_S)
        return found.state, found.why

    backups = [backup(1), backup(2), backup(30, of=("a", "b"))]
    assert all_of("a")[0] == OK
    assert all_of("a", "b") == (
        CRITICAL,
        "the newest backup, #0 of b, is 1d6h old, at most 1d",
    )
    assert all_of("a", "c", "d") == (CRITICAL, "no backup that qualifies holds c, d")
    assert all_of(*"acdefg")[1].endswith("holds c, d, e and 2 more")


def test_it_says_so_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the store alone; what cannot be read is critical, since nobody knows of a backup."""
    shelf = Shelf(tmp_path)
    shelf.publish(3)
    long_ago = [*shelf.flags, "backup", "check", "--max-age"]
    assert run([*long_ago, "1h"]) == CRITICAL
    assert capsys.readouterr().out.startswith("CRITICAL: the newest backup, #3 of books, is ")
    assert run([*long_ago, "99999d", "--warn-age", "1d"]) == WARNING
    line = capsys.readouterr().out
    assert line.startswith("WARNING: ")
    assert f";86400;{99999 * 86400};0\n" in line
    assert run([*long_ago, "99999d"]) == OK
    nowhere = ["--store", "file:///no/such/dir", "--cluster", "x"]
    assert run([*nowhere, "backup", "check", "--max-age", "1h"]) == CRITICAL


def test_a_partial_backup_is_a_warning_that_names_what_is_missing() -> None:
    part = replace(backup(1), missing=(MissingCollection(name="rf1", reason="a dead node"),))
    found = judge_all([part, backup(2)], ("a",), AgeLimits(24 * HOUR_S), NOW_S)
    assert found.state == WARNING
    assert found.why.endswith("; #0 is without rf1")
    assert judge([part], ("a",), AgeLimits(24 * HOUR_S), NOW_S).state == OK


def test_a_warning_age_beyond_the_critical_one_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["backup", "check", "--max-age", "1h", "--warn-age", "2h"]) == 2
    assert "--warn-age has to be less than --max-age" in capsys.readouterr().err
