"""Short ids in a store: of its catalog, and of operations that only its history knows."""

from __future__ import annotations

import asyncio

import pytest

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.primitives.ids import Epoch, OperationId, parse_cluster
from cleancut.core.protocol.states import BACKUP_KINDS, OperationKind
from cleancut.repository.catalog import find_group
from cleancut.repository.short_ids import resolve_id
from cleancut.testing.memory_store import MemoryStore

PATHS = Paths(parse_cluster("prod"))
FIRST, FAILED, RESTORE = "b-79c5000000000001", "b-79c5000000000002", "r-79c5000000000003"


def make_store() -> MemoryStore:
    """A backup, one that failed, and a restore."""
    store = MemoryStore()
    for path in (
        PATHS.id_of(OperationId(FIRST), Epoch(7)),
        PATHS.story("2026", f"20260101T000000.000Z-backup-{FAILED}"),
        PATHS.story("2026", f"20260101T000000.000Z-restore-{RESTORE}"),
    ):
        asyncio.run(store.put(path, b""))
    return store


def resolved(store: MemoryStore, name: str, *kinds: OperationKind) -> str:
    return asyncio.run(resolve_id(store, PATHS, name, kinds))


def test_the_catalog_and_the_history_are_looked_through() -> None:
    store = make_store()
    assert resolved(store, "r-79c5", OperationKind.RESTORE) == RESTORE
    assert resolved(store, FAILED, *BACKUP_KINDS) == FAILED
    with pytest.raises(Refused, match=f"{FIRST}, {FAILED}"):
        resolved(store, "b-79c5", *BACKUP_KINDS)
    with pytest.raises(Refused, match="ambiguous"):
        asyncio.run(find_group(store, PATHS, "b-79c5"))


def test_what_nothing_begins_with_stays_as_it_is() -> None:
    assert resolved(make_store(), "m-79c5", OperationKind.REBALANCE) == "m-79c5"
    with pytest.raises(NotFound, match="'b-0000'"):
        asyncio.run(find_group(make_store(), PATHS, "b-0000"))
