"""The etcds that the suites of this port run against: real members, the embedded one, memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.etcd.worlds import EmbeddedWorld, MemoryWorld, RealWorld, World
from tests.support.etcd_cluster import EtcdCluster

_ROOTS = itertools.count(1)


@pytest.fixture(scope="session")
def etcd_members() -> Iterator[EtcdCluster]:
    """Three real etcd members for the whole session; `etcd_trio` hands them out."""
    with EtcdCluster(3) as cluster:
        yield cluster


@pytest.fixture
def etcd_trio(etcd_members: EtcdCluster) -> Iterator[EtcdCluster]:
    """Three healthy etcd members, which a test may kill and freeze: they are repaired after it."""
    yield etcd_members
    etcd_members.repair()


@pytest.fixture
def etcd_root() -> str:
    """A prefix of etcd's keys that no other test uses."""
    return f"/cleancut/test{next(_ROOTS)}/"


@pytest.fixture(params=["etcd", "embedded", "memory"])
def world(request: pytest.FixtureRequest, etcd_root: str, tmp_path: Path) -> World:
    """Everything that implements the `Coordination` port, one after the other."""
    if request.param == "memory":
        return MemoryWorld(etcd_root)
    if request.param == "embedded":
        return EmbeddedWorld(tmp_path, etcd_root)
    return RealWorld(request.getfixturevalue("etcd_trio"), etcd_root)
