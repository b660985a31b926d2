"""What proves that a shard with its log is the shard at the standstill, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.format.manifest import format_of
from cleancut.core.protocol.etcd_records import ShardState, Standstill, WalEnd
from cleancut.core.protocol.evidence import (
    Consistency,
    first_needed,
    rolled_doubt,
    standstill_doubt,
)
from tests.support.groups import SOUND, manifest, reading, shard

AT_12 = WalEnd("1:7", 12)
ROLLED = Standstill(round=3, before=AT_12, after=AT_12, ack=6, first=6)
FIRST, SECOND = reading(7), reading(11)


def doubt_of(still: Standstill = ROLLED, **changed: Any) -> str:
    readings = {"first": FIRST, "second": SECOND} | changed
    return standstill_doubt(readings["first"], readings["second"], still, drained=True)


def test_a_moving_shard_with_its_log_is_proven() -> None:
    assert doubt_of() == ""


def test_a_log_that_grew_between_the_rounds_is_still_that_of_its_shard() -> None:
    """Of no instant that other shards share, but whole; not if another log has taken its place."""
    grown = replace(ROLLED, after=WalEnd("1:7", 13))
    other = replace(ROLLED, after=WalEnd("1:8", 13))
    assert rolled_doubt(FIRST, SECOND, grown, drained=True) == ""
    assert "replaced" in rolled_doubt(FIRST, SECOND, other, drained=True)
    entry = replace(shard("c", 0, moved=3), standstill=grown)
    assert "grew" in entry.doubt
    assert entry.own_doubt == ""
    assert manifest(1, (entry,)).consistency is Consistency.PER_SHARD


def test_a_running_optimization_is_no_doubt() -> None:
    """What a snapshot lacks then is in the log from `ack` on."""
    busy = replace(SOUND, optimizing=1, optimized_at="2026-01-01T00:00:00Z")
    assert doubt_of(first=replace(FIRST, state=busy)) == ""


@pytest.mark.parametrize(
    ("still", "words"),
    [
        (replace(ROLLED, after=WalEnd("1:7", 13)), "grew or was replaced"),
        (replace(ROLLED, before=WalEnd("1:8", 12)), "grew or was replaced"),
        (replace(ROLLED, first=7), "too late"),
        (replace(ROLLED, ack=99, first=9), "too late"),
        (replace(ROLLED, before=WalEnd("1:7", 10), after=WalEnd("1:7", 10)), "ends before"),
        (replace(ROLLED, first=-1), "operations applied"),
    ],
)
def test_a_log_that_lacks_something_proves_nothing(still: Standstill, words: str) -> None:
    assert words in doubt_of(still)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"second": reading(None)}, "ends before"),
        ({"first": reading(None)}, "too late"),
        ({"second": reading(11, incarnation="again")}, "restarted"),
        ({"second": reading(11, arrivals=1)}, "recovered or transferred"),
        ({"first": reading(7, arrivals=-1)}, "recovered or transferred"),
        ({"second": replace(SECOND, state=ShardState(status="red"))}, "status is red"),
        ({"first": replace(FIRST, state=None)}, "status is unknown"),
    ],
)
def test_readings_that_say_nothing_are_a_doubt(changed: dict[str, Any], words: str) -> None:
    assert words in doubt_of(**changed)


def test_a_quiet_shard_needs_no_entries_if_its_log_ended_with_the_drain() -> None:
    at_8 = Standstill(round=3, before=WalEnd("1:7", 8), after=WalEnd("1:7", 8))
    at_9 = Standstill(round=3, before=WalEnd("1:7", 9), after=WalEnd("1:7", 9))
    assert doubt_of(at_8, second=reading(8)) == ""
    assert doubt_of(at_9, second=reading(8)) == "1 operation applied after it was cut"
    assert "optimization" in doubt_of(
        at_8, second=replace(reading(8), state=replace(SOUND, optimizing=1))
    )


def test_entries_are_needed_from_what_is_not_in_the_files_for_certain() -> None:
    assert first_needed(3, reading(7)) == 3
    assert first_needed(99, reading(7)) == 8
    assert first_needed(3, reading(None)) == 3


def test_a_backup_is_of_one_instant_only_if_all_shards_stood_still_in_the_same_rounds() -> None:
    moved = replace(shard("c", 0, moved=3), standstill=replace(ROLLED, ack=6, first=6))
    other = replace(shard("c", 1, moved=3), standstill=ROLLED)
    quiet = shard("c", 1)
    later = replace(other, standstill=replace(ROLLED, round=5))
    assert manifest(1, (moved, other)).consistency is Consistency.POINT_IN_TIME
    assert manifest(1, (moved, quiet)).consistency is Consistency.PER_SHARD
    assert manifest(1, (moved, later)).consistency is Consistency.PER_SHARD
    assert manifest(1, (quiet,)).consistency is Consistency.POINT_IN_TIME


def test_a_count_is_not_that_of_a_shard_with_its_log() -> None:
    """It was taken of what was cut, and the restored shard holds more."""
    assert not replace(shard("c", 0), standstill=ROLLED).quiet
    assert shard("c", 0).quiet


def test_older_versions_refuse_a_backup_with_logs() -> None:
    assert format_of([shard("c", 0)]) == 1
    assert format_of([shard("c", 0), replace(shard("c", 1), standstill=ROLLED)]) == 2
