"""Known damage: what finds it, and what clears it."""

from __future__ import annotations

from typing import Any

import pytest

from cleancut.core.primitives.ids import Epoch
from cleancut.core.verification.damage import (
    NO_DAMAGE,
    Damage,
    Level,
    LogEntry,
    VerificationRecord,
    outstanding,
)


class Checks:
    """Checks of one store, one after the other."""

    def __init__(self) -> None:
        self._made: list[tuple[LogEntry, VerificationRecord | None]] = []

    def add(self, level: Level, epoch: int = 1, *, wrong: str = "", **found: Any) -> Damage:
        problems = (wrong,) if wrong else ()
        record = VerificationRecord(
            level=level, epoch=Epoch(epoch), at="", problems=problems, **found
        )
        return self.put(record)

    def put(self, record: VerificationRecord | None, *, good: bool = True) -> Damage:
        number = len(self._made)
        level, epoch = (record.level, record.epoch) if record else (Level.ALL, Epoch(1))
        good = good and not (record and record.problems)
        self._made.append((LogEntry(f"v/{number}", epoch, float(number), level, good), record))
        return outstanding(self._made)


def test_nothing_found_is_no_damage() -> None:
    assert outstanding(()) == NO_DAMAGE
    assert not Checks().add(Level.ALL, recipes=("r",)).affects(1, ["r"])


def test_what_shares_a_damaged_object_is_doubted_until_it_is_read_or_the_damage_ends() -> None:
    checks = Checks()
    found = checks.add(
        Level.ALL, wrong="a flipped byte", damaged=("r",), objects=("1/a/0",), shared=("s", "t")
    )
    assert found.affects(5, ["s"])
    assert found.affects(6, ["t"])
    assert not checks.add(Level.ALL, 5, recipes=("s",)).affects(5, ["s"])
    assert not checks.add(Level.ALL, 1, recipes=("r",)).affects(6, ["t"])


@pytest.mark.parametrize("level", [Level.PRESENCE, Level.PART, Level.ALL, Level.DRILL])
def test_only_a_reading_of_the_same_bytes_clears_damage(level: Level) -> None:
    """A check that did not read the damaged shard says nothing about it, whatever its level."""
    checks = Checks()
    found = checks.add(Level.ALL, wrong="a flipped byte", damaged=("r",), objects=("1/a/0",))
    assert found.affects(1, ["r"])
    assert found.affects(5, ["r"])  # another backup with the same shard
    assert not found.affects(5, ["other"])
    assert found.objects == {"1/a/0"}
    assert checks.add(level, recipes=("other",)).affects(1, ["r"])
    if level is not Level.PRESENCE:
        cleared = checks.add(level, 5, recipes=("r",))
        assert not cleared.affects(1, ["r"])
        assert cleared.objects == frozenset()


def test_what_a_drill_finds_is_cleared_by_a_drill() -> None:
    """The bytes are those that were captured: reading them again proves nothing new."""
    checks = Checks()
    checks.add(Level.DRILL, wrong="other answers", recipes=("r",), doubted=("r",))
    assert checks.add(Level.ALL, recipes=("r",)).affects(1, ["r"])
    assert not checks.add(Level.DRILL, recipes=("r",)).affects(1, ["r"])


def test_damaged_bytes_that_a_drill_found_are_cleared_by_a_reading() -> None:
    checks = Checks()
    checks.add(Level.DRILL, wrong="a flipped byte", damaged=("r",))
    assert not checks.add(Level.PART, recipes=("r",)).affects(1, ["r"])


def test_a_contradiction_is_cleared_by_a_check_that_sees_as_much() -> None:
    checks = Checks()
    assert checks.add(Level.ALL, wrong="not the bytes that were decided").affects(1, [])
    assert checks.add(Level.PRESENCE).affects(1, [])
    assert checks.add(Level.DRILL).affects(1, [])
    assert checks.add(Level.ALL, 2).affects(1, [])
    assert not checks.add(Level.ALL).affects(1, [])


def test_an_entry_that_cannot_be_read_counts_by_its_name() -> None:
    checks = Checks()
    assert checks.put(None, good=False).affects(1, [])
    assert checks.put(None).affects(1, []) is False


def test_the_entries_that_tell_of_damage_are_kept() -> None:
    """Also those that clear it: without them it would come back."""
    checks = Checks()
    checks.add(Level.PRESENCE, wrong="missing", damaged=("r", "s"))
    found = checks.add(Level.PART, 2, recipes=("r",))
    assert found.entries == {"v/0", "v/1"}
    assert found.recipes == {"s"}
