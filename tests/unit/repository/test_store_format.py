"""A lost or damaged format.json: written again only as the backups prove it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from cleancut.core.format.recipe import encode_format
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import CleancutError, Corrupt, Denied, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.ports.store import Store
from cleancut.repository.store_format import rewrite_format
from cleancut.store.key_source import KeySource
from cleancut.store.open import view_store
from tests.support.capturing import PATHS
from tests.support.copied import CLOCK, NO_KEY, TwoStores, key_file


@pytest.fixture
def plain(tmp_path: Path) -> TwoStores:
    made = TwoStores(tmp_path)
    made.publish(5)
    made.publish(6)
    return made


def rewritten(stores: TwoStores, keys: KeySource | None = None) -> Epoch | None:
    chosen = stores.keys if keys is None else keys
    view: Store = view_store(stores.source, CLOCK, chosen).store
    return asyncio.run(rewrite_format(view, PATHS, encrypted=bool(chosen.read())))


def refused(stores: TwoStores, kind: type[CleancutError], keys: KeySource | None = None) -> str:
    """The message; the store is as it was."""
    before = dict(stores.source.objects)
    with pytest.raises(kind) as told:
        rewritten(stores, keys)
    assert stores.source.objects == before
    assert told.value.hint
    return told.value.message


@pytest.mark.parametrize("damaged", [None, b"", b"{}", b"\xff{", encode_format()[:-9]])
def test_the_newest_whole_backup_proves_the_format(plain: TwoStores, damaged: bytes | None) -> None:
    want = plain.source.objects.pop(PATHS.format)
    if damaged is not None:
        plain.source.objects[PATHS.format] = damaged
    assert rewritten(plain) == 6
    assert plain.source.objects[PATHS.format] == want
    assert rewritten(plain) is None, "it is right now"


def test_a_damaged_backup_proves_nothing(plain: TwoStores) -> None:
    del plain.source.objects[PATHS.format]
    plain.source.objects[PATHS.group(Epoch(6))] = b"{"
    assert rewritten(plain) == 5
    del plain.source.objects[PATHS.format]
    plain.source.objects[PATHS.group(Epoch(5))] = b"{"
    assert "no backup is whole enough" in refused(plain, Corrupt)


def test_a_backup_without_its_recipe_proves_nothing(plain: TwoStores) -> None:
    del plain.source.objects[PATHS.format]
    for path in [one for one in plain.source.objects if "/recipes/" in one]:
        del plain.source.objects[path]
    refused(plain, Corrupt)


def test_a_store_without_backups_proves_nothing(tmp_path: Path) -> None:
    stores = TwoStores(tmp_path)
    stores.source.objects[PATHS.format] = b""
    assert "has no backup" in refused(stores, NotFound)


def test_another_format_is_never_replaced(plain: TwoStores) -> None:
    plain.source.objects[PATHS.format] = encode_format().replace(b'"format":1', b'"format":2')
    assert "has format 2" in refused(plain, Refused)


def test_backups_of_another_cluster_prove_nothing(tmp_path: Path) -> None:
    stores = TwoStores(tmp_path)
    other = replace(stores.publish(5), cluster="staging")
    del stores.source.objects[PATHS.format]
    stores.source.objects[PATHS.group(Epoch(5))] = encode(other)
    assert "of cluster 'staging'" in refused(stores, Refused)


def test_an_encrypted_store_is_proven_with_its_key_alone(tmp_path: Path) -> None:
    stores = TwoStores(tmp_path, key_file(tmp_path, "a"))
    stores.publish(5)
    want = stores.source.objects.pop(PATHS.format)
    assert "is encrypted" in refused(stores, Denied, NO_KEY)
    refused(stores, Denied, key_file(tmp_path, "b"))
    assert rewritten(stores) == 5
    assert stores.source.objects[PATHS.format] == want


def test_a_key_makes_no_plain_store_an_encrypted_one(plain: TwoStores, tmp_path: Path) -> None:
    del plain.source.objects[PATHS.format]
    assert "is not encrypted" in refused(plain, Refused, key_file(tmp_path, "a"))
