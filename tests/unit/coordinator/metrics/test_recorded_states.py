"""The status page and the alerts say the same of states that real clusters were in."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from cleancut.core.protocol.states import State
from tests.support.recorded_states import RecordedState, load_states
from tests.unit.coordinator.metrics.test_protection import rule

STATES = load_states()
Said = Callable[[RecordedState], bool]


class Pair(NamedTuple):
    """An alert: the metrics that its rule compares, whether they make it fire (but for what it
    waits for), and whether the page says the same."""

    metrics: tuple[str, ...]
    fires: Said
    shown: Said


def first(recorded: RecordedState, name: str, **labels: str) -> float:
    (value,) = recorded.values(name, **labels)
    return value


PAIRS = {
    "CleancutCollectionUnprotected": Pair(
        ("cleancut_unprotected_collections",),
        lambda one: first(one, "cleancut_unprotected_collections") > 0,
        lambda one: not one.now["status"]["protected"],
    ),
    "CleancutBackupCorrupt": Pair(
        ("cleancut_catalog_backups",),
        lambda one: first(one, "cleancut_catalog_backups", state="corrupt") > 0,
        lambda one: any(each["state"] in {State.DAMAGED, State.CORRUPT} for each in one.backups),
    ),
    "CleancutAgentMissing": Pair(
        ("cleancut_agents",),
        lambda one: (
            first(one, "cleancut_agents", state="connected")
            < first(one, "cleancut_agents", state="expected")
        ),
        lambda one: any(each["kind"] == "no_agent" for each in one.now["status"]["findings"]),
    ),
    "CleancutStandbyMissing": Pair(
        ("cleancut_coordinators",),
        lambda one: first(one, "cleancut_coordinators") == 1,
        lambda one: len(one.now["status"]["coordinators"]) == 1,
    ),
}


def test_states_were_recorded() -> None:
    assert STATES.keys() == {"whole", "unprotected", "agent-away", "standby-gone", "damaged"}


@pytest.mark.parametrize("alert", PAIRS)
def test_the_page_and_the_alert_say_the_same(alert: str) -> None:
    """Of each state; and among these are one in which the alert fires, and one in which not."""
    pair = PAIRS[alert]
    assert all(name in rule(alert) for name in pair.metrics)
    fires = {name: pair.fires(state) for name, state in STATES.items()}
    assert fires == {name: pair.shown(state) for name, state in STATES.items()}
    assert set(fires.values()) == {True, False}


@pytest.mark.parametrize("state", STATES)
def test_the_counts_of_the_page_are_those_of_the_metrics(state: str) -> None:
    one = STATES[state]
    damaged = sum(each["state"] in {State.DAMAGED, State.CORRUPT} for each in one.backups)
    kept = sum(each["state"] == State.COMMITTED for each in one.backups)
    assert first(one, "cleancut_catalog_backups", state="corrupt") == damaged
    assert first(one, "cleancut_catalog_backups", state="good") == kept
    assert bool(one.now["status"]["leader"]) is (first(one, "cleancut_coordinator_leader") == 1)
