"""Problems of the backups and of the programs that make them, each with its severity."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.doctor.facts import BackupHealth, Facts, FailingTarget, Refusal, ScheduleHealth
from cleancut.core.doctor.findings import diagnose
from cleancut.core.doctor.protection import CollectionProtection
from cleancut.core.protocol.etcd_records import Concern, Failure
from tests.support.health import HEALTHY, agent, told

DAY, HOUR = 86400.0, 3600.0
UNNOTIFIED = FailingTarget(name="ops", since_s=0.0, why="it answered 404", pending=3)
NOW = 100 * DAY
LIMIT = 1.5 * DAY
NIGHTLY = ScheduleHealth(
    name="nightly", max_age_s=LIMIT, last_good_s=NOW - HOUR, since_s=NOW - 9 * DAY
)
DOCS = CollectionProtection(
    name="docs", protected=True, limit_s=LIMIT, backup=3, schedule="nightly"
)
OLD = replace(DOCS, protected=False, age_s=2 * DAY)
GOOD = BackupHealth(
    good=3,
    protection=(DOCS,),
    schedules=(NIGHTLY,),
    verified=True,
    drilled=True,
    retention=True,
)


def health(**changes: Any) -> Facts:
    return replace(HEALTHY, now_s=NOW, backups=replace(GOOD, **changes))


def nightly(**changes: Any) -> Facts:
    return health(schedules=(replace(NIGHTLY, **changes),))


def failed(reason: str) -> Facts:
    return health(last_failed=Failure(reason=reason, message="bucket full", hint="free some"))


def concern(kind: str) -> Facts:
    one = replace(agent(11), concerns=(Concern(kind=kind, what="so it is"),))
    return replace(HEALTHY, agents=(one, *HEALTHY.agents[1:]))


def versions(*known: str) -> Facts:
    return replace(
        HEALTHY,
        coordinators=tuple((f"c{at}", version) for at, version in enumerate(known)),
        agents=tuple(replace(one, version="1.0") for one in HEALTHY.agents),
    )


def at(facts: Facts) -> list[tuple[str, str]]:
    return [(one.kind, one.severity) for one in diagnose(facts)]


FRESH = health(good=0, protection=(), schedules=(), verified=False, drilled=False, retention=False)


def test_a_fresh_cluster_has_no_errors() -> None:
    """Nothing was set up yet, which is said and does not fail a check."""
    assert {severity for _, severity in at(FRESH)} == {"info"}
    assert [kind for kind, _ in at(FRESH)] == ["no_backup", "no_schedule"]


def test_good_backups_have_no_findings() -> None:
    assert at(health()) == []
    assert at(replace(HEALTHY, backups=None)) == []


@pytest.mark.parametrize(
    ("facts", "kind", "severity"),
    [
        (failed("DENIED"), "backup_failed", "error"),
        (nightly(last_good_s=NOW - 2 * DAY), "backup_late", "error"),
        (nightly(last_good_s=None), "backup_late", "error"),
        (nightly(last_good_s=NOW - 9 * DAY, paused=True), "schedule_paused", "info"),
        (health(protection=(replace(DOCS, protected=False, backup=0),)), "unprotected", "warning"),
        (health(protection=(replace(OLD, schedule=""),)), "unprotected", "warning"),
        (health(protection=(replace(OLD, backup=0, damaged=True),)), "unprotected", "warning"),
        (health(partial=((7, ("logs",)),)), "backup_partial", "warning"),
        (health(verified=False), "never_verified", "info"),
        (health(drilled=False), "never_drilled", "info"),
        (health(unverified=(("hourly", 7),)), "schedule_unverified", "info"),
        (health(schedules=()), "no_schedule", "info"),
        (health(retention=False), "no_retention", "info"),
        (concern("consensus_stopped"), "consensus_stopped", "error"),
        (concern("recovery_mode"), "recovery_mode", "error"),
        (concern("unloaded_shard"), "unloaded_shard", "error"),
        (concern("no_restore_rights"), "no_restore_rights", "error"),
        (concern("store_refused"), "store_refused", "error"),
        (concern("red_shard"), "red_shard", "error"),
        (concern("disk_low"), "disk_low", "warning"),
        (concern("restore_by_upload"), "restore_by_upload", "info"),
        (concern("one of a newer agent"), "one of a newer agent", "warning"),
        (versions("1.0"), "no_standby", "info"),
        (versions("1.0", "1.1"), "mixed_versions", "warning"),
        (versions("1.1", "1.1"), "mixed_versions", "warning"),
        (replace(HEALTHY, api_open=True), "api_open", "warning"),
        (
            replace(
                HEALTHY,
                unnotified=(
                    FailingTarget(name="ops", since_s=0.0, why="it answered 404", pending=3),
                ),
            ),
            "notify_failing",
            "warning",
        ),
        (
            replace(HEALTHY, peers=(), refusals=(Refusal(url="http://q", message="401"),)),
            "qdrant_refuses",
            "error",
        ),
        (replace(HEALTHY, peers=()), "coordinator_without_qdrant", "error"),
    ],
)
def test_each_problem_is_found_once(facts: Facts, kind: str, severity: str) -> None:
    assert at(facts) == [(kind, severity)]


def test_the_newest_failure_is_the_first_that_is_read() -> None:
    """Before what may have caused it."""
    silent = replace(failed("DENIED"), agents=(), peers=())
    kinds = [kind for kind, _ in at(silent)]
    assert kinds[0] == "backup_failed"
    assert len(kinds) > 1


def test_the_cause_is_named() -> None:
    found = diagnose(failed("DENIED"))[0]
    assert "bucket full (free some) [DENIED]" in found.what
    away = replace(HEALTHY, owner_id=None, store_problem="refuses our keys: ExpiredToken")
    assert "ExpiredToken" in diagnose(away)[0].what


def test_a_new_schedule_has_its_first_gap_to_make_a_backup() -> None:
    assert at(nightly(last_good_s=None, since_s=NOW - HOUR)) == []
    assert at(nightly(last_good_s=None, since_s=None)) == []


def test_a_late_schedule_explains_its_collections() -> None:
    """Status and doctor judge by one limit, and one cause is told once."""
    late = health(schedules=(replace(NIGHTLY, last_good_s=NOW - 2 * DAY),), protection=(OLD,))
    assert at(late) == [("backup_late", "error")]
    paused = health(schedules=(replace(NIGHTLY, paused=True),), protection=(OLD,))
    assert at(paused) == [("unprotected", "warning"), ("schedule_paused", "info")]
    late_within = health(schedules=(replace(NIGHTLY, last_good_s=NOW - 1.4 * DAY),))
    assert at(late_within) == []


def test_what_schedules_leave_out_is_not_a_problem() -> None:
    left_out = replace(DOCS, protected=False, backup=0, schedule="", excluded=True)
    assert at(health(protection=(left_out,))) == []


def test_a_stopped_consensus_is_told_once_for_a_peer() -> None:
    """The coordinator and the agent see the same."""
    facts = concern("consensus_stopped")
    stopped = replace(told(11), consensus="stopped_with_err: panic")
    facts = replace(facts, peers=(stopped, *facts.peers[1:]))
    found = diagnose(facts)
    assert [one.kind for one in found] == ["consensus_stopped"]
    assert "stopped_with_err: panic" in found[0].what
