"""Pages of a list: what begins or ends between two pages repeats no entry and leaves none out."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from cleancut.api.interface import PageRequest
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import OperationKind, State
from cleancut_coordinator.api.pages import cut_page

Entry = Operation | Epoch


def operation(minute: int) -> Operation:
    return Operation(
        id=OperationId(f"b-{minute:x}"),
        kind=OperationKind.BACKUP,
        state=State.ABORTED,
        request="{}",
        created_at=f"2026-06-15T12:{minute:02d}:00.000Z",
    )


def newest_first(minutes: Sequence[int], epochs: Sequence[int]) -> list[Entry]:
    operations = [operation(minute) for minute in sorted(minutes, reverse=True)]
    return [*operations, *(Epoch(epoch) for epoch in sorted(epochs, reverse=True))]


def page(entries: Sequence[Entry], token: str) -> tuple[list[Entry], str]:
    chosen, following = cut_page(entries, PageRequest(2, token))
    return list(chosen), following


def test_all_pages_together_are_the_list() -> None:
    entries = newest_first([1, 2, 3], [7, 100])
    seen: list[Entry] = []
    token = ""
    while True:
        chosen, token = page(entries, token)
        seen += chosen
        if not token:
            break
    assert seen == entries


def test_an_operation_that_starts_between_two_pages_repeats_no_entry() -> None:
    first, token = page(newest_first([1, 2, 3], [7]), "")
    second, _ = page(newest_first([1, 2, 3, 4, 5], [7]), token)
    assert [first, second] == [[operation(3), operation(2)], [operation(1), Epoch(7)]]


def test_a_page_goes_on_after_an_entry_that_is_gone() -> None:
    _, token = page(newest_first([1, 2, 3], [7]), "")
    second, token = page(newest_first([1, 3], [6, 7]), token)
    assert second == [operation(1), Epoch(7)]
    assert page(newest_first([3], [6]), token) == ([Epoch(6)], "")


def test_operations_of_the_same_time_each_come_once() -> None:
    entries = [
        Operation(
            id=OperationId(f"b-{name}"),
            kind=OperationKind.BACKUP,
            state=State.ABORTED,
            request="{}",
            created_at="2026-06-15T12:00:00.000Z",
        )
        for name in "edcba"
    ]
    first, token = cut_page(entries, PageRequest(3))
    second, _ = cut_page(entries, PageRequest(3, token))
    assert [*first, *second] == entries


def test_operations_that_were_recorded_together_each_come_once() -> None:
    """The tenth comes before the second, on whichever page they are."""
    made = [replace(operation(1), id=OperationId(f"n-ab-{number}")) for number in range(12, 0, -1)]
    first, token = cut_page(made, PageRequest(5))
    second, token = cut_page(made, PageRequest(5, token))
    third, token = cut_page(made, PageRequest(5, token))
    assert [*first, *second, *third] == made
    assert not token
