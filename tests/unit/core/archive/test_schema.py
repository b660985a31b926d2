"""Schema at a moment: a base's, changed by the indexes and vectors that its logs make and drop."""

from __future__ import annotations

from typing import Any

from cleancut.core.archive.schema import info_at, schema_changes
from cleancut.core.cluster.collection_config import indexes, vector_names
from cleancut.core.wal.operations import Operation

INFO: dict[str, Any] = {
    "config": {"params": {"vectors": {"a": {"size": 4, "distance": "Dot"}}}},
    "payload_schema": {"old": {"data_type": "keyword", "points": 3}},
}
TEXT = {"type": "text", "lowercase": True}


def index(field: str, schema: Any = "keyword") -> Operation:
    return Operation("create_index", keys=(field,), schema=schema)


def drop(field: str) -> Operation:
    return Operation("delete_index", keys=(field,))


def test_indexes_that_were_made_and_dropped_since() -> None:
    changes = [index("new"), drop("old"), index("text", TEXT), index("gone"), drop("gone")]
    found = info_at(INFO, [changes, changes])
    assert indexes(found) == {"new": "keyword", "text": TEXT}
    assert indexes(INFO) == {"old": "keyword"}, "the base is as it was"


def test_the_shard_that_has_seen_most_is_ahead() -> None:
    found = info_at(INFO, [[index("f")], [index("f"), drop("f")], []])
    assert "f" not in indexes(found)
    again = [index("f", "integer"), drop("f"), index("f", "float")]
    assert indexes(info_at(INFO, [again[:2], again]))["f"] == "float"


def test_vectors_that_were_made_and_dropped_since() -> None:
    changes = [
        Operation(
            "create_vector_name",
            keys=("b",),
            schema={"dense": {"size": 2, "distance": "Cosine"}},
        ),
        Operation("create_vector_name", keys=("s",), schema={"sparse": {}}),
        Operation("delete_vector_name", keys=("a",)),
    ]
    found = info_at(INFO, [changes])
    assert vector_names(found) == ("b", "s")
    assert found["config"]["params"]["vectors"]["b"] == {"size": 2, "distance": "Cosine"}


def made(name: str, schema: Any) -> Operation:
    return Operation("create_vector_name", keys=(name,), schema=schema)


def test_a_vector_beside_the_one_without_a_name() -> None:
    alone = {"size": 4, "distance": "Dot"}
    info = {"config": {"params": {"vectors": alone}}}
    b = {"size": 2, "distance": "Cosine"}
    params = info_at(info, [[made("b", {"dense": b})]])["config"]["params"]
    assert params == {"vectors": {"": alone, "b": b}}
    params = info_at(info, [[made("s", {"sparse": {}})]])["config"]["params"]
    assert params == {"vectors": alone, "sparse_vectors": {"s": {}}}


def test_the_datatype_of_a_sparse_vector_is_its_indexs() -> None:
    schema = {"sparse": {"modifier": "idf", "datatype": "float16"}}
    params = info_at(INFO, [[made("s", schema)]])["config"]["params"]
    assert params["sparse_vectors"]["s"] == {"modifier": "idf", "index": {"datatype": "float16"}}


def test_without_changes_it_is_the_bases() -> None:
    plain = [Operation("upsert_points", 1, (1,)), index("f")]
    assert schema_changes(plain) == (plain[1],)
    assert info_at(INFO, [[], []]) == INFO
