"""Which reshards wait for others of their collection."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import OperationId
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import ReshardRequest
from cleancut.core.protocol.states import OperationKind, State
from cleancut.core.reshard.turns import held_up


def _reshard(name: str, at: int, collection: str = "docs", after: str = "") -> Operation:
    return Operation(
        id=OperationId(name),
        kind=OperationKind.RESHARD,
        state=State.PENDING,
        request=encode(ReshardRequest(collection=collection, shards=at + 1)).decode(),
        created_at=f"2026-01-01T00:00:0{at}Z",
        after=OperationId(after),
    )


def test_the_earliest_of_a_collection_goes_first() -> None:
    """Others of that collection wait for its end, others go on."""
    mine, later, other = _reshard("b", 1), _reshard("a", 2), _reshard("c", 3, "tomes")
    assert held_up([later, other, mine]) == {"a"}
    assert held_up([later, other]) == frozenset()


def test_of_one_time_one_goes_first() -> None:
    assert held_up([_reshard("b", 1), _reshard("a", 1)]) == {"b"}


def test_a_chain_that_was_recorded_at_once_does_not_block_itself() -> None:
    """Its ids are in another order than its links: `x-10` is listed before `x-2`."""
    chain = [_reshard("x-2", 1), _reshard("x-10", 1, after="x-2")]
    assert held_up(chain) == {"x-10"}
    assert held_up(chain[1:]) == frozenset()


def test_one_that_waits_for_a_restore_holds_up_nobody() -> None:
    restore = Operation(
        id=OperationId("rs-1"),
        kind=OperationKind.RESTORE,
        state=State.PENDING,
        request="{}",
        created_at="2026-01-01T00:00:00Z",
    )
    waiting, mine = _reshard("x-1", 0, after="rs-1"), _reshard("y", 5)
    assert held_up([restore, waiting, mine]) == {"x-1"}
    assert held_up([waiting, mine]) == {"y"}


def test_one_that_cannot_be_read_holds_up_no_collection() -> None:
    broken = replace(_reshard("z", 0), request="{")
    assert held_up([broken, _reshard("y", 5)]) == frozenset()
