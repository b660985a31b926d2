"""Which file gives which shard of an import, and what collection the files make up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cleancut.core.format.snapshot_choice import (
    ALONE,
    Choice,
    Contents,
    check_alike,
    check_choice,
    choose,
    described_entry,
    documented_entry,
    parse_source,
)
from cleancut.core.primitives.errors import Invalid, Refused

PARAMS = {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 3, "replication_factor": 2}


def documents(**changes: Any) -> dict[str, bytes]:
    config = {"params": {**PARAMS, **changes}, "hnsw_config": {"m": 16}, "uuid": "u-1"}
    schema = {"n": "integer", "t": {"type": "text", "lowercase": True}}
    return {
        "config.json": json.dumps(config).encode(),
        "payload_index.json": json.dumps({"schema": schema}).encode(),
        "shard_key_mapping.json": b"[]",
    }


def node(file: str, *shards: int, **changes: Any) -> Contents:
    return Contents(file, frozenset(shards), documents(**changes))


def alone(file: str) -> Contents:
    return Contents(file, frozenset({ALONE}), {})


def chosen(given: str, *files: Contents) -> list[tuple[int, str, int]]:
    sources = [parse_source(one) for one in given.split()]
    return [tuple(one) for one in choose(sources, {one.file: one for one in files})]


def test_each_node_gives_its_shards() -> None:
    found = chosen("a b", node("a", 0, 2), node("b", 1))
    assert found == [(0, "a", 0), (1, "b", 1), (2, "a", 2)]


def test_two_replicas_are_refused_until_one_is_named() -> None:
    files = node("a", 0, 1), node("b", 1, 2)
    with pytest.raises(Refused, match="a and b both hold shard 1") as refused:
        chosen("a b", *files)
    assert "1=a" in refused.value.hint
    assert chosen("a b 1=b", *files) == [(0, "a", 0), (1, "b", 1), (2, "b", 2)]
    assert chosen("0=a 1=b", *files) == [(0, "a", 0), (1, "b", 1)]
    with pytest.raises(Refused, match="both hold shard 1"):
        chosen("1=a 1=b", *files)
    with pytest.raises(Refused, match="a does not hold the data of shard 2"):
        chosen("2=a", *files)


def test_a_snapshot_of_one_shard_says_by_its_name_or_is_told_which() -> None:
    name = "docs-shard-7-2026-11-30-10-00-00.snapshot"
    assert chosen(name, alone(name)) == [(7, name, ALONE)]
    assert chosen(f"3={name}", alone(name)) == [(3, name, ALONE)]
    with pytest.raises(Refused, match="does not say of which") as refused:
        chosen("x.tar", alone("x.tar"))
    assert "0=x.tar" in refused.value.hint


def test_the_collection_is_as_the_snapshots_say() -> None:
    entry = documented_entry("docs", [node("a", 0, 2), node("b", 1)])
    assert entry is not None
    assert (entry.name, entry.uuid, entry.shard_ids) == ("docs", "u-1", (0, 1, 2))
    assert entry.info["config"]["params"] == PARAMS
    assert entry.info["payload_schema"] == {
        "n": {"data_type": "integer"},
        "t": {"data_type": "text", "params": {"type": "text", "lowercase": True}},
    }
    assert documented_entry("docs", [alone("x")]) is None


@pytest.mark.parametrize("mapping", [[{"key": "de", "shard_ids": [2, 1]}], {"de": [1, 2]}])
def test_shard_keys_have_their_shards(mapping: Any) -> None:
    """In both forms that Qdrant has written."""
    files = documents(sharding_method="custom", shard_number=1)
    files["shard_key_mapping.json"] = json.dumps(mapping).encode()
    entry = documented_entry("docs", [Contents("a", frozenset({1, 2}), files)])
    assert entry is not None
    assert (entry.shard_keys, entry.shard_ids) == ((("de", (1, 2)),), (1, 2))


def test_files_of_two_states_are_refused() -> None:
    with pytest.raises(Refused, match="a and b differ in the configuration: params"):
        documented_entry("docs", [node("a", 0), node("b", 1, shard_number=4)])
    other = documents() | {"payload_index.json": b'{"schema":{"n":"integer"}}'}
    with pytest.raises(Refused, match="differ in the payload indexes: t"):
        documented_entry("docs", [node("a", 0), Contents("b", frozenset({1}), other)])
    whole = {"config.json": b'{"collections_mapping":{}}'}
    with pytest.raises(Refused, match="snapshot of a whole storage"):
        documented_entry("docs", [Contents("full", frozenset(), whole)])


def test_a_missing_shard_and_one_too_many_are_refused() -> None:
    entry = documented_entry("docs", [node("a", 0)])
    assert entry is not None
    given = [Choice(shard, "a", shard) for shard in entry.shard_ids]
    check_choice(entry, given)
    with pytest.raises(Refused, match="no file holds shard 1, 2 of the 3"):
        check_choice(entry, given[:1])
    with pytest.raises(Refused, match="shard 9 is not among the 3"):
        check_choice(entry, [*given, Choice(entry.shard_ids[0].__class__(9), "a", 9)])


def test_a_configuration_is_described_by_the_answer_or_its_parts() -> None:
    config = {"params": PARAMS}
    for described in ({"result": {"config": config}, "status": "ok"}, {"config": config}, config):
        assert described_entry("docs", described).shard_ids == (0, 1, 2)
    for wrong in ([], {"config": {}}, {"params": {**PARAMS, "sharding_method": "custom"}}):
        with pytest.raises(Invalid):
            described_entry("docs", wrong)
    mine = described_entry("docs", {"params": {**PARAMS, "shard_number": 4}})
    with pytest.raises(Refused, match="shard_number"):
        check_alike(mine, documented_entry("docs", [node("a", 0)]))
    check_alike(mine, None)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("config.json", b'{"params": {"vectors": "x"}}'),
        ("config.json", b'{"params": {"vectors": {"a": 1}}}'),
        ("config.json", b'{"params": {"vectors": {"size": 4}}}'),
        ("config.json", b'{"params": {"shard_number": 99999999999}}'),
        ("config.json", b'{"params": {"shard_number": -1}}'),
        ("config.json", b'{"params": {"shard_number": "3"}}'),
        ("config.json", b'{"params": {"sparse_vectors": [1]}}'),
        ("config.json", b'{"params": {}, "wal_config": {"wal_capacity_mb": {}}}'),
        ("config.json", b'{"params": ' + b'{"a":' * 100_000),
        ("payload_index.json", b"[]"),
        ("payload_index.json", b'{"schema": {"n": {"lowercase": true}}}'),
        ("payload_index.json", b'{"schema": ["n"]}'),
        ("shard_key_mapping.json", b'[{"key": "a"}]'),
        ("shard_key_mapping.json", b'[{"key": "a", "shard_ids": ["0", 1]}]'),
        ("shard_key_mapping.json", b'{"a": 3}'),
        ("shard_key_mapping.json", b"\xff"),
    ],
)
def test_documents_of_another_form_are_refused(path: str, data: bytes) -> None:
    odd = Contents("a", frozenset({0}), {**documents(), path: data})
    with pytest.raises((Invalid, Refused)):
        documented_entry("docs", [odd])


def test_a_shard_of_two_keys_is_refused() -> None:
    keys = b'[{"key": "a", "shard_ids": [0, 1]}, {"key": "b", "shard_ids": [1]}]'
    custom = documents(sharding_method="custom") | {"shard_key_mapping.json": keys}
    with pytest.raises(Refused, match="two shard keys"):
        documented_entry("docs", [Contents("a", frozenset({0, 1}), custom)])
