"""The order of a restore and of what was recorded with it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.ids import OperationId
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.followers import (
    open_reshards_of,
    rebalance_after,
    reshard_ids_after,
    reshards_of_canceled,
    waits_for_another,
    waits_for_reshards,
)
from cleancut.core.protocol.states import OperationKind, State

RESTORE, RESHARD, REBALANCE = (
    OperationKind.RESTORE,
    OperationKind.RESHARD,
    OperationKind.REBALANCE,
)


def _one(name: str, kind: OperationKind, after: str = "", **more: Any) -> Operation:
    state = more.pop("state", State.PENDING)
    return Operation(
        id=OperationId(name), kind=kind, state=state, request="{}", after=OperationId(after), **more
    )


RUNNING = _one("r-1", RESTORE, state=State.RECOVERING)
VERIFIED = _one("r-1", RESTORE, after="n-1-2", detail="report")
FOLLOWERS = (
    _one("n-1-1", RESHARD, after="r-1"),
    _one("n-1-2", RESHARD, after="n-1-1"),
    _one("m-1", REBALANCE, after="n-1-2"),
)
DONE = replace(VERIFIED, state=State.DONE)


def _ready(*recorded: Operation) -> list[str]:
    open_ones = {one.id: one for one in recorded if one.state is not State.DONE}
    pending = [one for one in open_ones.values() if one.state is State.PENDING]
    return [one.id for one in pending if not waits_for_another(one, open_ones)]


def _over(count: int) -> list[Operation]:
    """So many of the followers are done."""
    ended = [replace(one, state=State.DONE) for one in FOLLOWERS[:count]]
    return [*ended, *FOLLOWERS[count:]]


def test_the_ids_of_what_was_recorded_with_a_restore() -> None:
    assert reshard_ids_after(OperationId("r-1"), 2) == ("n-1-1", "n-1-2")
    assert rebalance_after(OperationId("r-1")) == "m-1"


@pytest.mark.parametrize(
    ("restore", "over", "ready"),
    [
        (RUNNING, 0, []),
        (VERIFIED, 0, ["n-1-1"]),
        (VERIFIED, 1, ["n-1-2"]),
        (VERIFIED, 2, ["r-1"]),
        (replace(VERIFIED, state=State.VERIFYING), 2, []),
        (DONE, 2, ["m-1"]),
        (DONE, 0, ["n-1-1"]),
    ],
    ids=["restored", "verified", "one over", "all over", "publishing", "done", "older version"],
)
def test_each_gets_its_turn_after_the_one_before(
    restore: Operation, over: int, ready: list[str]
) -> None:
    """The restore itself after its last reshard, and its rebalance after that, whatever it was
    recorded to follow. A version before published first: then all follow a restore that is done."""
    assert _ready(restore, *_over(over)) == ready


def test_nothing_of_a_canceled_restore_begins() -> None:
    """Its reshards end, each by a cancel of its own; then it gets its turn, to be rolled back."""
    canceled = replace(VERIFIED, cancelled=True)
    assert _ready(canceled, *FOLLOWERS) == []
    assert reshards_of_canceled([canceled, *FOLLOWERS]) == ("n-1-1", "n-1-2")
    assert reshards_of_canceled([VERIFIED, *FOLLOWERS]) == ()
    assert reshards_of_canceled([canceled, *_over(2)]) == ()
    assert _ready(canceled, *_over(2)) == ["r-1"]


def test_only_a_verified_restore_waits_for_its_reshards() -> None:
    """One whose first attempt is repeated has no report."""
    assert waits_for_reshards(VERIFIED)
    others = (RUNNING, DONE, _one("r-1", RESTORE), _one("n-9", RESHARD, detail="draft"))
    assert not any(map(waits_for_reshards, others))


def test_open_reshards_are_those_of_this_restore() -> None:
    """In their order: `n-1-10` comes after `n-1-2`."""
    others = (_one("n-2-1", RESHARD), _one("n-1", RESHARD), _one("n-1-10", RESHARD))
    found = open_reshards_of(OperationId("r-1"), [*others, *_over(1)])
    assert found == ("n-1-2", "n-1-10")
