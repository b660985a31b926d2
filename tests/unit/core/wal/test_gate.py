"""Gate: why logs are not read, one reason for each fact that is against it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cleancut.core.primitives.ids import PeerId
from cleancut.core.wal.framing import header
from cleancut.core.wal.gate import WalFacts, wal_gate

GOOD = WalFacts(
    storage="/qdrant/storage",
    file_system="ext4",
    peer_id=PeerId(7),
    shards=1,
    heads=(header(1), header(2)),
)


def gate(version: str = "1.18.3", **changes: Any) -> str:
    return wal_gate(replace(GOOD, **changes), version, PeerId(7))


def test_the_gate_is_open_where_nothing_is_against_it() -> None:
    assert gate() == ""
    assert gate(heads=(), shards=0) == ""
    for known in (PeerId(7), None):  # without cluster mode, and without a collection
        assert wal_gate(replace(GOOD, peer_id=known, shards=0), "1.18.3", PeerId(0)) == ""


def test_the_disk_of_another_qdrant_without_collections_is_not_read() -> None:
    found = wal_gate(GOOD, "1.18.3", PeerId(0))
    assert found == "/qdrant/storage holds shards, and this Qdrant has no collection"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"storage": ""}, "set --qdrant-storage"),
        ({"problem": "Permission denied"}, "Permission denied"),
        ({"peer_id": PeerId(8)}, "of peer 8, not of peer 7"),
        ({"peer_id": None}, "does not tell whose it is"),
        ({"file_system": "nfs4"}, "'nfs4'"),
        ({"file_system": "fuse.s3fs"}, "'fuse.s3fs'"),
        ({"file_system": "9p"}, "'9p'"),
        ({"file_system": ""}, "'unknown'"),
        ({"without_log": "/qdrant/storage/collections/c/0"}, "collections/c/0 holds no log"),
        ({"heads": (header(1), b"wal\1abcd")}, "version 0"),
        ({"heads": (b"",)}, "does not begin a WAL segment"),
    ],
)
def test_each_fact_against_it_is_the_reason(changes: dict[str, Any], reason: str) -> None:
    assert reason in gate(**changes)


@pytest.mark.parametrize(
    ("version", "is_open"),
    [
        ("1.17.0", False),
        ("1.17.1", True),
        ("1.18.0", True),
        ("1.19.4", True),
        ("1.19.0-dev", True),
        ("1.20.0", False),
        ("2.0.0", False),
        ("", False),
    ],
)
def test_versions_that_were_tested_are_read(version: str, is_open: bool) -> None:
    assert (gate(version) == "") == is_open
