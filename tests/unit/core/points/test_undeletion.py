"""Undeletion: what is compared, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from cleancut.core.points.undeletion import (
    BATCH_BYTES,
    batches,
    check_target,
    check_version,
    differs,
)
from cleancut.core.primitives.errors import Refused


def info(vectors: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"config": {"params": {"vectors": vectors, **more}}}


PLAIN = {"size": 4, "distance": "Dot"}


@pytest.mark.parametrize("version", ["1.16.3", "1.9.0", "dev"])
def test_a_server_that_would_replace_points_is_refused(version: str) -> None:
    with pytest.raises(Refused, match="without replacing"):
        check_version(version)


@pytest.mark.parametrize("version", ["1.17.1", "1.18.3", "2.0.0-rc1"])
def test_a_newer_server_is_not(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize(
    ("target", "keys", "there"),
    [
        (info({**PLAIN, "size": 5}), [], []),
        (info({**PLAIN, "distance": "Cosine"}), [], []),
        (info({**PLAIN, "datatype": "uint8"}), [], []),
        (info({"a": PLAIN}), [], []),
        (info(PLAIN, sparse_vectors={"words": {}}), [], []),
        (info(PLAIN), ["eu"], []),
        (info(PLAIN), [], ["eu"]),
        (info(PLAIN), ["eu"], ["us"]),
    ],
)
def test_a_collection_that_points_do_not_fit_is_refused(
    target: dict[str, Any], keys: list[str], there: list[str]
) -> None:
    with pytest.raises(Refused):
        check_target(info(PLAIN), target, keys, there)


def test_indexes_and_storage_may_differ() -> None:
    target = info({**PLAIN, "on_disk": True, "datatype": "float32", "hnsw_config": {"m": 8}})
    check_target(info(PLAIN), target, ["eu"], ["us", "eu"])


def test_points_differ_by_payload_and_vectors_but_not_by_rounding() -> None:
    point = {"id": 1, "payload": {"a": [1]}, "vector": {"v": [0.1, 0.2], "w": [[1.0]]}}
    assert not differs(point, {**point, "vector": {"w": [[1.0]], "v": [0.1, 0.20000001]}})
    assert not differs({**point, "payload": {}}, {**point, "payload": None})
    assert differs(point, {**point, "payload": {"a": [2]}})
    assert differs(point, {**point, "vector": {"v": [0.1, 0.3], "w": [[1.0]]}})
    assert differs(point, {**point, "vector": {"v": [0.1, 0.2]}})
    assert differs(point, {**point, "vector": {"v": [0.1], "w": [[1.0]]}})


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"payload": {"a": True}}, {"payload": {"a": 1}}),
        ({"payload": {"a": 1}}, {"payload": {"a": 1.0}}),
        ({"vector": {"v": [1e-7, 2e-8]}}, {"vector": {"v": [3e-7, 1e-8]}}),
        (
            {"vector": {"w": {"indices": [3_000_000_001], "values": [1.0]}}},
            {"vector": {"w": {"indices": [3_000_000_002], "values": [1.0]}}},
        ),
        ({"vector": {"w": [[1.0], [2.0]]}}, {"vector": {"w": [1.0, 2.0]}}),
    ],
)
def test_points_that_are_nearly_alike_differ(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Else --overwrite leaves them as they are, and says that all is as in the backup."""
    assert not differs(ours, ours)
    assert differs(ours, theirs)
    assert differs(theirs, ours)


def test_batches_are_bounded() -> None:
    assert [len(one) for one in batches([b"x"] * 513, 256)] == [256, 256, 1]
    large = [bytes(BATCH_BYTES // 2)] * 3 + [bytes(2 * BATCH_BYTES)]
    assert [len(one) for one in batches(large, 256)] == [2, 1, 1]
    assert list(batches([], 256)) == []
