"""Views: parts of lists, growth, the matrix of checks, and the report of a store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cleancut.api.backups import Backup, BackupBytes
from cleancut.api.ended_work import EndedWork
from cleancut.api.rebalances import Rebalance
from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore
from cleancut.api.undeletes import Undelete, UndeleteShard
from cleancut.core.format.timeline import Timeline
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.states import State
from cleancut.core.verification.damage import Level, LogEntry
from cleancut.page.growth import chart, growth_of, thinned
from cleancut.page.matrix import matrix_of
from cleancut.page.render import render
from cleancut.page.report import report_of
from cleancut.page.seen import Seen
from cleancut.page.views import Query, backups, document, query_of, verification

DAY_S = 86400.0
NOW_S = 1_767_268_800.0


def backup(epoch: int, **other: object) -> Backup:
    fields: dict[str, object] = {
        "id": f"b-{epoch}",
        "epoch": epoch,
        "state": State.COMMITTED,
        "cut_at": f"2026-01-{epoch:02d}T00:00:00Z" if epoch < 32 else None,
        "bytes": BackupBytes(protected=1000, new=100, stored=50),
        "collections": ("books",),
    }
    return Backup(**(fields | other))  # type: ignore[arg-type]


def many(number: int) -> Seen:
    found = tuple(backup(epoch, schedule="nightly") for epoch in range(number, 0, -1))
    return Seen("main", at_s=NOW_S, complete=True, backups=found)


def test_what_ran_is_listed_with_who_started_it_and_what_it_found() -> None:
    """Facts of a good one, the outcome of a bad one; no name of a schedule is markup."""
    work = (
        ended("1", "verify", epoch=3, asked_by="ada@host", facts={"level": "all"}),
        ended("2", "drill", state="FAILED", schedule="<weekly>", outcome="docs/1: 3 points"),
        ended("3", "gc", facts={"deleted_objects": 4, "deleted_bytes": 2048, "expired_backups": 0}),
    )
    view = verification(replace(many(4), work=work))
    text = render(view.body, NOW_S, **view.values)
    for words in ("ada@host", "level all", "schedule &lt;weekly&gt;", "docs/1: 3 points"):
        assert words in text
    assert "deleted objects 4, deleted 2.0 KiB</td>" in text
    assert [one["kind"] for one in json.loads(document(view.json))["work"]] == [
        "verify",
        "drill",
        "gc",
    ]
    assert "ada@host" in report_of(replace(many(4), work=work), [], "file:///store")


def ended(name: str, kind: str, **fields: Any) -> EndedWork:
    times = {"at": "2026-01-01T11:00:00Z", "ended_at": "2026-01-01T11:00:41Z"}
    return EndedWork(**({"id": name, "kind": kind, "state": "DONE"} | times | fields))


def test_lists_come_in_pages_and_a_page_too_far_is_the_last() -> None:
    view = backups(many(3000), Query(number=99), NOW_S)
    assert view.json["pages"] == 60
    assert view.json["page"] == 60
    assert [one.epoch for one in view.json["backups"]] == list(range(50, 0, -1))


@pytest.mark.parametrize("given", ["0", "-1", "x", "\u0663", ""])
def test_what_is_no_number_of_a_page_is_the_first(given: str) -> None:
    assert query_of({"page": given}).number == 1


def test_filters_choose_and_stay_in_the_links() -> None:
    query = query_of({"state": "damaged", "collection": "a&b", "page": "1"})
    assert query.filters == "state=damaged&collection=a%26b&"
    known = (backup(2, state=State.DAMAGED, collections=("a&b",)), backup(1))
    view = backups(Seen("main", backups=known), query, NOW_S)
    assert [one.epoch for one in view.json["backups"]] == [2]


def test_json_has_the_version_of_the_shapes() -> None:
    view = backups(many(1), Query(), NOW_S)
    whole = json.loads(document(view.json))
    assert whole["schema"] == 1
    assert whole["backups"][0]["epoch"] == 1


def test_growth_is_what_was_added_since_the_first() -> None:
    found = growth_of([backup(3), backup(2), backup(1), backup(9, state=State.ABORTED)])
    assert (found.protected, found.protected_all, found.stored) == (1000, 3000, 150)
    assert found.ratio == 20.0
    assert found.per_day == 50.0
    assert found.forecast == 150 + 90 * 50
    assert growth_of([backup(1)]).per_day is None
    assert growth_of([]).ratio is None


def test_a_chart_of_many_points_is_thinned_and_keeps_the_last() -> None:
    points = growth_of(many(31).backups).points
    assert len(thinned(points, 10)) <= 11
    assert thinned(points, 10)[-1] == points[-1]
    assert chart(growth_of([backup(1)])).count("<circle") == 2


def test_the_matrix_shows_the_newest_check_of_each_kind() -> None:
    def check(epoch: int, at_s: float, level: Level, *, good: bool = True) -> LogEntry:
        return LogEntry(f"v/{epoch}", Epoch(epoch), at_s, level, good)

    checks = [
        check(2, 30.0, Level.ALL, good=False),
        check(2, 20.0, Level.ALL),
        check(1, 10.0, Level.DRILL),
    ]
    found = matrix_of([backup(2), backup(1), backup(3, state=State.ABORTED)], checks)
    assert [row.backup.epoch for row in found.rows] == [2, 1]
    assert found.rows[0].cells == (None, None, checks[0], None)
    assert [(one.title, one.at_s, one.epoch) for one in found.last] == [
        ("Data read", 20.0, 2),
        ("Drill", 10.0, 1),
    ]


def test_a_report_is_one_file_without_a_script() -> None:
    """Names cannot break out of it; only what is in it is linked."""
    nasty = "</style><script>alert(1)</script>\u202e"
    seen = Seen("main", at_s=NOW_S, backups=(backup(2, schedule=nasty), backup(1)))
    text = report_of(seen, [(seen.backups[0], Timeline())], "file:///store")
    assert "<script" not in text
    assert "&lt;/style&gt;&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in text
    assert "src=" not in text
    assert "<link" not in text
    assert text.count("<style>") == 1
    assert '<a href="#backup-2">#2</a>' in text
    assert "/backups/" not in text


def test_a_report_has_the_operations_of_each_kind() -> None:
    """Those that followed a restore point to it within the file."""
    restore = Restore(id="r-1", backup_epoch=2, state=State.DONE)
    reshard = Reshard(id="h-1", collection="docs", wanted=4, after="r-1", state=State.DONE)
    rebalance = Rebalance(id="m-1", after="r-1", state=State.DONE)
    shard = UndeleteShard(shard_id=0, agent="a", points=9, selected=9, done=True)
    undelete = Undelete(id="u-1", collection="docs", into="docs", missing=9, shards=(shard,))
    seen = Seen(
        "main",
        at_s=NOW_S,
        restores=(restore,),
        rebalances=(rebalance,),
        reshards=(reshard,),
        undeletes=(undelete,),
    )
    text = report_of(seen, [], "file:///store")
    shown = ("r-1", "h-1", "m-1", "u-1")
    assert [text.count(f'id="{one}"') for one in shown] == [1, 1, 1, 1]
    assert text.count('<a href="#r-1">r-1</a>') == 2
    assert "/restores" not in text
    assert 'href="#reshards"' not in report_of(Seen("main", at_s=NOW_S), [], "file:///store")


def test_templates_fail_on_what_they_do_not_know() -> None:
    with pytest.raises(Exception, match="undefined"):
        render("now.html", NOW_S)
