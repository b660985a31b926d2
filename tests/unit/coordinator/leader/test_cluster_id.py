"""Format of a store that a leader takes over, which lost it or has a damaged one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cleancut.core.format.recipe import encode_format
from cleancut.core.primitives.errors import CleancutError, Corrupt, Denied, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.runtime.clock import SystemClock
from cleancut.store.key_source import KeySource
from cleancut.store.open import view_store
from cleancut.testing.memory_etcd import MemoryEtcd
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.cluster_id import establish
from tests.support.capturing import PATHS
from tests.support.copied import NO_KEY, TwoStores, key_file
from tests.unit.coordinator.leader.test_state import lead


def established(stores: TwoStores, keys: KeySource) -> None:
    """By the first leader of an etcd that was lost."""
    clock = SystemClock()
    at = CoordinatorContext(
        name="c0",
        store_url="memory",
        keys=Keys(PATHS.cluster),
        paths=PATHS,
        etcd=MemoryEtcd(clock),
        store=view_store(stores.source, clock, keys).store,
        peers=(),
        clock=clock,
        key_source=keys,
    )

    async def body() -> None:
        await establish(at, await lead(at))

    asyncio.run(body())


def refused(stores: TwoStores, keys: KeySource, kind: type[CleancutError]) -> str:
    """The error; nothing was written."""
    before = dict(stores.source.objects)
    with pytest.raises(kind) as told:
        established(stores, keys)
    assert stores.source.objects == before
    return str(told.value)


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "encrypted"])
def test_a_lost_format_comes_back_as_the_backups_prove_it(sealed: bool, tmp_path: Path) -> None:
    """A store of another kind than the settings say is not written to: before, a key made it one
    of which half was encrypted."""
    key = key_file(tmp_path, "a")
    right, wrong = (key, NO_KEY) if sealed else (NO_KEY, key)
    stores = TwoStores(tmp_path, right)
    stores.publish(5)
    want = stores.source.objects.pop(PATHS.format)
    refused(stores, wrong, Denied if sealed else Refused)
    established(stores, right)
    assert stores.source.objects[PATHS.format] == want


def test_without_a_whole_backup_it_is_not_made_up(tmp_path: Path) -> None:
    stores = TwoStores(tmp_path)
    stores.publish(5)
    del stores.source.objects[PATHS.format]
    stores.source.objects[PATHS.group(Epoch(5))] = b"{"
    assert "copy of the store" in refused(stores, NO_KEY, Corrupt)


def test_a_damaged_one_is_an_error_with_the_command(tmp_path: Path) -> None:
    stores = TwoStores(tmp_path)
    stores.publish(5)
    stores.source.objects[PATHS.format] = encode_format()[:-9]
    assert "cluster rewrite-format" in refused(stores, NO_KEY, Corrupt)
