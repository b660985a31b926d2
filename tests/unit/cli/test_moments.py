"""Flags of a moment, and the table of what was written when."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from rich.console import Console, RenderableType

from cleancut.api.archive import LoggedOperation, LogPage
from cleancut.api.restores import MomentOptions, RestoredLog, RestoredMoment, RestorePlan
from cleancut.cli.commands.restore_options import options_of
from cleancut.cli.options import TIME
from cleancut.cli.render import log_tables, restore_tables
from cleancut.core.protocol.evidence import Consistency

NONE: dict[str, Any] = {
    "collections": ("docs",),
    "from_cluster": "",
    "from_store": "",
    "renames": (),
    "beside": False,
    "replace": False,
    "overwrite": False,
    "replicas": None,
    "shards": (),
    "only_shards": (),
    "offline": False,
    "quotas": False,
    "peer": None,
    "at": None,
    "mark": "",
    "before": "",
    "without": "",
    "exact": False,
    "force": False,
}
T = "2026-01-31T14:03:00.000Z"


def test_times_are_rfc_3339_with_a_zone_or_how_long_ago() -> None:
    assert TIME.convert("2026-01-31T14:03:00Z", None, None) == T
    assert TIME.convert("2026-01-31T16:03:00+02:00", None, None) == T
    for text in ("5m", "5m ago", "300"):
        found = datetime.fromisoformat(TIME.convert(text, None, None))
        assert timedelta(minutes=4) < datetime.now(UTC) - found < timedelta(minutes=6)
    for wrong in ("2026-01-31T14:03:00", "yesterday", "", "5 parsecs"):
        with pytest.raises(click.BadParameter):
            TIME.convert(wrong, None, None)


def test_flags_of_a_moment_become_its_options() -> None:
    assert options_of(NONE).target is None
    asked = options_of({**NONE, "at": T, "exact": True}).target
    assert asked == MomentOptions(at=T, exact=True)
    asked = options_of({**NONE, "mark": "m", "without": "2:284", "force": True}).target
    assert asked == MomentOptions(mark="m", without="2:284", force=True)


@pytest.mark.parametrize(
    "flags",
    [
        {"at": T, "mark": "m"},
        {"at": T, "before": "2:284"},
        {"before": "2:284", "without": "2:285"},
        {"exact": True},
        {"at": T, "force": True},
        {"at": T, "only_shards": (1,)},
    ],
)
def test_flags_that_contradict_each_other_are_usage_errors(flags: dict[str, Any]) -> None:
    with pytest.raises(click.UsageError):
        options_of({**NONE, **flags})


def shown(table: RenderableType) -> str:
    console = Console(file=(out := io.StringIO()), width=250)
    console.print(table)
    return out.getvalue()


def test_the_log_names_entries_as_a_restore_takes_them() -> None:
    wrong = LoggedOperation(
        shard_id=2, index=284, at=T, kind="delete_points_by_filter", filter='{"must":[]}'
    )
    many = LoggedOperation(
        shard_id=0, index=9, at=T, kind="upsert_points", points=5, ids=("1", "2", "3", "4", "5")
    )
    text = shown(log_tables.log(LogPage(operations=(wrong, many))))
    assert "2:284  delete_points_by_filter  -       filter" in text
    assert "1, 2, 3 and 2 more" in text


def test_a_plan_says_to_which_moment_it_goes() -> None:
    moment = RestoredMoment(
        at=T,
        mark="m",
        consistency=Consistency.POINT_IN_TIME,
        distance_ms=2_000,
        operations=7,
        log_bytes=2048,
        replay_s=0.2,
        logs=(RestoredLog(collection="docs", shard_id=2, chain="c", left_out=(284,)),),
    )
    text = shown(restore_tables.plan(RestorePlan(backup_id="b-1", moment=moment)))
    for word in (f"{T} (mark m)", "point-in-time", "2 s", "7 operations, 2.0 KiB", "2:284"):
        assert word in text
    assert "moment" not in shown(restore_tables.plan(RestorePlan(backup_id="b-1")))
