"""Entries that belong to one request, and those that depend on what was there before them."""

from __future__ import annotations

import pytest

from cleancut.core.archive.entries import belongs, check_later, depends_on_state
from cleancut.core.primitives.errors import Refused
from cleancut.core.wal.kinds import UNKNOWN
from cleancut.core.wal.operations import Operation

RED = {"must": [{"key": "colour", "match": {"value": "red"}}]}
BLUE = {"must": [{"key": "colour", "match": {"value": "blue"}}]}
DELETE_RED = Operation("delete_points_by_filter", filter=RED)


def test_operations_by_the_same_filter_are_of_one_request() -> None:
    assert belongs(DELETE_RED, Operation("delete_points_by_filter", filter=dict(RED)))
    assert not belongs(DELETE_RED, Operation("delete_points_by_filter", filter=BLUE))
    assert not belongs(DELETE_RED, Operation("set_payload", filter=RED))
    by_id = Operation("delete_points", 1, (7,))
    assert not belongs(by_id, by_id)


@pytest.mark.parametrize(
    ("operation", "depends"),
    [
        (Operation("upsert_points", 1, (1,)), False),
        (Operation("delete_points", 1, (1,)), False),
        (Operation("set_payload", 1, (1,), keys=("k",)), False),
        (Operation("create_index", keys=("f",)), False),
        (Operation("upsert_points_conditional", 1, (1,), filter={}), True),
        (Operation("update_vectors", 1, (1,), filter=RED), True),
        (DELETE_RED, True),
        (Operation("delete_points_by_filter", filter={"must": [{"has_id": ["u"]}]}), False),
        (Operation("delete_points_by_filter", filter={"must": [{"has_id": [1]}, RED]}), True),
        (Operation("delete_points_by_filter", filter={"must_not": [{"has_id": [1]}]}), True),
        (Operation(UNKNOWN), True),
    ],
)
def test_conditions_and_filters_depend_on_what_is_there(
    operation: Operation, depends: bool
) -> None:
    assert depends_on_state(operation) is depends


def test_entries_that_depend_on_the_one_left_out_are_refused_unless_forced() -> None:
    harmless = [(8, Operation("upsert_points", 1, (1,)))]
    assert check_later("shard 1", 7, harmless, force=False) == ""
    later = [*harmless, (9, Operation("upsert_points_conditional", 1, (1,))), (10, DELETE_RED)]
    with pytest.raises(Refused, match=r"entry 9 .upsert_points_conditional. and 1 more") as caught:
        check_later("shard 1", 7, later, force=False)
    assert "--force" in caught.value.hint
    assert "without entry 7" in check_later("shard 1", 7, later, force=True)
