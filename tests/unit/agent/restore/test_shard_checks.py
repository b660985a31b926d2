"""Counts of a restored shard: as many points as in the backup, or more where that is accepted."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut_agent.restore.shard_checks import check_counts


def task(count: int | None, *, accept_count: bool = False) -> ShardTask:
    return ShardTask("docs", ShardId(0), PeerId(1), count=count, accept_count=accept_count)


@pytest.mark.parametrize("accept_count", [False, True])
def test_the_count_of_the_backup_is_right(accept_count: bool) -> None:
    check_counts(task(90, accept_count=accept_count), 90, 90)
    check_counts(task(None, accept_count=accept_count), 90, 90)


def test_more_points_are_refused_with_the_flag_that_accepts_them() -> None:
    with pytest.raises(Corrupt, match="holds 100 points after the restore, and 90") as caught:
        check_counts(task(90), 100, 100)
    assert "--accept-count" in caught.value.hint
    check_counts(task(90, accept_count=True), 100, 100)


@pytest.mark.parametrize("accept_count", [False, True])
def test_fewer_points_are_never_accepted(accept_count: bool) -> None:
    with pytest.raises(Corrupt, match="holds 80 points") as caught:
        check_counts(task(90, accept_count=accept_count), 80, 80)
    assert "--accept-count" not in caught.value.hint


def test_accepted_points_have_to_belong_there() -> None:
    with pytest.raises(Corrupt, match="1 of the 100 points"):
        check_counts(task(90, accept_count=True), 100, 99)
