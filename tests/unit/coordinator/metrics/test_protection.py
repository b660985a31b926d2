"""`cleancut status` and the alerts say the same of the same state: rules compare numbers that
follow from the judgement that status prints."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cleancut.core.doctor.protection import (
    Promise,
    ProtectingBackup,
    Protection,
    judge_protection,
    unknown_protection,
)
from cleancut.core.maintenance.schedule import ScheduleRule, max_age_s
from cleancut.core.primitives.ids import Epoch
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from tests.unit.coordinator.metrics.test_registry import told

HOUR_S, NOW_S = 3600.0, 1_000_000.0
RULES = Path(__file__).parents[4] / "charts" / "cleancut" / "files" / "alerts.yaml"
UNPROTECTED = "cleancut_unprotected_collections"
NIGHTLY = Promise("nightly", 36 * HOUR_S, exclude=("scratch",))


def backup(age_h: float, *names: str, damaged: bool = False) -> ProtectingBackup:
    cut_at_s = NOW_S - age_h * HOUR_S
    return ProtectingBackup(Epoch(1), cut_at_s, names, "nightly", damaged=damaged)


STATES: dict[str, Protection] = {
    "all have a recent one": judge_protection([backup(3, "a", "b")], [NIGHTLY], ["a", "b"], NOW_S),
    "it is too old": judge_protection([backup(37, "a", "b")], [NIGHTLY], ["a", "b"], NOW_S),
    "one is new": judge_protection([backup(3, "a")], [NIGHTLY], ["a", "b"], NOW_S),
    "it is damaged": judge_protection([backup(3, "a", damaged=True)], [NIGHTLY], ["a"], NOW_S),
    "one is excluded": judge_protection([backup(3, "a")], [NIGHTLY], ["a", "scratch"], NOW_S),
    "no schedule covers it": judge_protection([backup(27, "a")], [], ["a"], NOW_S),
    "there is nothing": judge_protection([], [NIGHTLY], [], NOW_S),
}


def rule(alert: str) -> str:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    (found,) = (one["expr"] for group in groups for one in group["rules"] if one["alert"] == alert)
    return str(found)


@pytest.mark.parametrize("state", STATES)
def test_the_alert_compares_what_status_says(state: str) -> None:
    assert rule("CleancutCollectionUnprotected") == f"max by (cluster) ({UNPROTECTED}) > 0"
    judged, metrics = STATES[state], CoordinatorMetrics("prod")
    metrics.show_protection(judged)
    assert (told(metrics, UNPROTECTED)[()] > 0) is not judged.protected


def test_what_is_not_known_fires_nothing() -> None:
    """Status says that nothing is known; that the store is unread is an alert of its own."""
    metrics = CoordinatorMetrics("prod")
    metrics.show_protection(STATES["it is too old"])
    metrics.show_protection(unknown_protection("the store is away"))
    assert told(metrics, UNPROTECTED) == {}


@pytest.mark.parametrize(("age_h", "late"), [(35.9, False), (36.1, True)])
def test_a_schedule_is_late_for_both_at_the_same_age(age_h: float, late: bool) -> None:
    own = ScheduleRule(cron="30 2 * * *")
    stated = ScheduleRule(cron="30 2 * * *", max_age_s=36 * HOUR_S)
    assert max_age_s(own) == max_age_s(stated) == 36 * HOUR_S
    metrics = CoordinatorMetrics("prod")
    metrics.set_max_ages({("nightly", "backup"): max_age_s(own)})
    limits = told(metrics, "cleancut_schedule_max_age_seconds")
    assert (age_h * HOUR_S > limits["backup", "nightly"]) is late
    assert "cleancut_schedule_max_age_seconds" in rule("CleancutBackupTooOld")
    newest = judge_protection([backup(age_h, "a")], [NIGHTLY], ["a"], NOW_S)
    assert newest.protected is not late
