"""Holds with a reason: what is said to be held is held as long as was asked for."""

from __future__ import annotations

import asyncio

import pytest

from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Invalid, NotFound, Refused
from cleancut.core.primitives.ids import ClusterName, Epoch, OperationId
from cleancut.core.primitives.timestamps import format_time
from cleancut.repository.holds import drop_reason, put_reason, reasons_of
from cleancut.testing.memory_store import MemoryStore
from tests.support.groups import manifest, shard

PATHS, ONE = Paths(ClusterName("prod")), Epoch(1)
DAY_S = 86400.0


class Watched(MemoryStore):
    """Knows whether the group was without a hold after any change."""

    unheld = False

    async def delete(self, path: str) -> None:
        await super().delete(path)
        self.unheld = self.unheld or not any(PATHS.holds_of(ONE) in one for one in self.objects)


def held(*spans: float) -> Watched:
    """The store after one hold for each span, all for the same reason."""

    async def body() -> Watched:
        store = Watched()
        group = manifest(1, (shard("books", 0), shard("books", 1)), operation="b-1")
        await store.put(PATHS.group(ONE), encode(group))
        for number, for_s in enumerate(spans):
            await put_reason(store, PATHS, ONE, "audit", now_s=0.0, for_s=for_s)
            if not number:
                store.unheld = False  # what an earlier one may have left is deleted first
        return store

    return asyncio.run(body())


def reasons(store: MemoryStore, now_s: float) -> tuple[str, ...]:
    return asyncio.run(reasons_of(store, PATHS, ONE, now_s))


@pytest.mark.parametrize(
    ("spans", "until_s"),
    [((7, 365), 365), ((7, 365, 8), 365), ((365, 7), 365), ((7, 0), 1e4), ((0, 7), 1e4)],
)
def test_a_hold_lasts_as_long_as_the_longest_that_was_asked_for(
    spans: tuple[float, ...], until_s: float
) -> None:
    store = held(*(span * DAY_S for span in spans))
    assert reasons(store, (until_s - 1) * DAY_S) == ("audit",)
    assert not store.unheld
    if until_s == 365:
        assert reasons(store, (until_s + 3) * DAY_S) == ()


def test_a_hold_is_released_at_once_after_an_extension_that_was_killed() -> None:
    store = held(7 * DAY_S)
    (path,) = [one for one in store.objects if "label." in one]
    store.objects[path.replace("audit", "audit+")] = store.objects.pop(path)
    assert reasons(store, 0.0) == ("audit",)
    asyncio.run(put_reason(store, PATHS, ONE, "audit", now_s=0.0, for_s=8 * DAY_S))
    asyncio.run(drop_reason(store, PATHS, ONE, "audit"))
    assert reasons(store, 0.0) == ()
    with pytest.raises(NotFound):
        asyncio.run(drop_reason(store, PATHS, ONE, "audit"))


def test_any_line_of_text_is_a_reason() -> None:
    store = MemoryStore()
    store.objects[PATHS.group(ONE)] = b""
    for reason in ("Größe/2026: §7 +", "..", "a_"):
        asyncio.run(put_reason(store, PATHS, ONE, reason, now_s=0.0, for_s=0.0))
        assert reasons(store, 1.0) == (reason,)
        asyncio.run(drop_reason(store, PATHS, ONE, reason))
    for reason in ("", " ", "two\nlines", "\u202etxt", "x" * 181):
        with pytest.raises(Invalid, match="reason"):
            asyncio.run(put_reason(store, PATHS, ONE, reason, now_s=0.0, for_s=0.0))


def test_a_hold_by_a_label_with_dots_is_released() -> None:
    """Versions before 2026-11-30 did not encode them."""
    store = held()
    hold = Hold(operation=OperationId("label.a.b"), created_at=format_time(0.0), expires_at="")
    store.objects[PATHS.hold(ONE, hold.operation)] = encode(hold)
    assert reasons(store, 1.0) == ("a.b",)
    asyncio.run(drop_reason(store, PATHS, ONE, "a.b"))
    assert reasons(store, 1.0) == ()


def test_reasons_that_a_store_may_take_for_one_are_not_both_taken() -> None:
    """Where capital letters do not count, the second one would replace the first, and end it."""
    store = MemoryStore()
    store.objects[PATHS.group(ONE)] = b""
    asyncio.run(put_reason(store, PATHS, ONE, "Audit", now_s=0.0, for_s=0.0))
    with pytest.raises(Refused, match="'Audit'"):
        asyncio.run(put_reason(store, PATHS, ONE, "audit", now_s=0.0, for_s=DAY_S))
    assert asyncio.run(reasons_of(store, PATHS, ONE, 2 * DAY_S)) == ("Audit",)
