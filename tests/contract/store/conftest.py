"""Every kind of store that the suites of this port run against."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from cleancut.core.primitives.ids import ClusterName
from cleancut.ports.store import Store
from cleancut.runtime.clock import SystemClock
from cleancut.store.encrypted import EncryptedStore
from cleancut.store.metered import InstrumentedStore
from cleancut.store.open import open_store
from cleancut.testing.memory_store import MemoryStore
from tests.support.azurite import Azurite, missing
from tests.support.gcs_server import GcsServer
from tests.support.s3_server import S3Server

KINDS = ("file", "memory", "counted", "s3", "az", "gs", "encrypted")
_ROOTS = itertools.count(1)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real SeaweedFS for the whole session; each test makes buckets of its own."""
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """A real Azurite for the whole session; each test makes containers of its own."""
    if reason := missing():
        pytest.skip(reason)
    with Azurite() as server:
        yield server


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    with GcsServer() as server:
        yield server


_SERVERS = {"s3": "s3_server", "az": "azurite", "gs": "gcs_server"}


async def _data_keys(_cluster: ClusterName) -> Mapping[int, bytes]:
    return {1: bytes(32), 2: bytes(range(32))}


@pytest.fixture(params=KINDS)
def store_opener(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Store]:
    """Opens an empty store again and again: of each kind that implements the `Store` port."""
    if request.param in {"memory", "counted"}:
        store: Store = MemoryStore()
        if request.param == "counted":
            store = InstrumentedStore(store, lambda *_: None)
        return lambda: store
    if request.param == "encrypted":
        inside = MemoryStore()
        return lambda: EncryptedStore(inside, _data_keys, SystemClock())
    url = (tmp_path / "store").as_uri()
    if request.param in _SERVERS:
        server = request.getfixturevalue(_SERVERS[request.param])
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        url = server.url(server.make_bucket(f"bucket{next(_ROOTS)}"), "some/prefix")
    return lambda: open_store(url, SystemClock())
