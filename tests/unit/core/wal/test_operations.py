"""Operations of a log, described. What is not known is named unknown and is never an error."""

from __future__ import annotations

import random
import uuid
from typing import Any

import cbor2
import pytest

from cleancut.core.primitives.ids import PeerId
from cleancut.core.wal.kinds import KINDS, UNKNOWN
from cleancut.core.wal.operations import (
    ClockTag,
    Operation,
    decode_operation,
    reads_state,
)

UUID = uuid.UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")
FILTER = {"must": [{"key": "a", "match": {"value": 1}}]}
TAG = {"peer_id": 7, "clock_id": 1, "clock_tick": 12, "token": 3, "force": False}
CASES: list[tuple[str, Any, Operation]] = [
    ("upsert_points", {"points": [{"id": 1}, {"id": 2}]}, Operation("", 2, (1, 2))),
    ("upsert_points", {"batch": {"ids": [UUID.bytes]}}, Operation("", 1, (str(UUID),))),
    (
        "upsert_points_conditional",
        {"points_op": {"points": [{"id": 1}]}, "condition": FILTER, "update_mode": "insert_only"},
        Operation("", 1, (1,), filter=FILTER),
    ),
    ("sync_points", {"from_id": None, "to_id": None, "points": []}, Operation("", 0)),
    ("delete_points", {"ids": [3]}, Operation("", 1, (3,))),
    ("delete_points_by_filter", FILTER, Operation("", filter=FILTER)),
    ("update_vectors", {"points": [{"id": 1, "vector": [0.5]}]}, Operation("", 1, (1,))),
    ("delete_vectors", [{"points": [1]}, ["a"]], Operation("", 1, (1,), keys=("a",))),
    ("delete_vectors_by_filter", [FILTER, ["a"]], Operation("", filter=FILTER, keys=("a",))),
    (
        "set_payload",
        {"payload": {"k": 1}, "points": [1], "filter": None, "key": None},
        Operation("", 1, (1,), keys=("k",)),
    ),
    (
        "overwrite_payload",
        {"payload": {"k": 1}, "points": None, "filter": FILTER},
        Operation("", filter=FILTER, keys=("k",)),
    ),
    ("delete_payload", {"keys": ["k"], "points": [1]}, Operation("", 1, (1,), keys=("k",))),
    ("clear_payload", {"points": [1]}, Operation("", 1, (1,))),
    ("clear_payload_by_filter", FILTER, Operation("", filter=FILTER)),
    (
        "create_index",
        {"field_name": "f", "field_schema": "keyword"},
        Operation("", keys=("f",), schema="keyword"),
    ),
    ("delete_index", "f", Operation("", keys=("f",))),
    (
        "create_vector_name",
        {"vector_name": "b", "config": {"dense": {"size": 4}}},
        Operation("", keys=("b",), schema={"dense": {"size": 4}}),
    ),
    ("delete_vector_name", {"vector_name": "b"}, Operation("", keys=("b",))),
]


@pytest.mark.parametrize(("kind", "body", "expected"), CASES)
def test_each_kind_is_described(kind: str, body: Any, expected: Operation) -> None:
    found = decode_operation(cbor2.dumps({kind: body, "clock_tag": TAG}))
    assert found.kind == kind
    assert found.clock == ClockTag(PeerId(7), 1, 12)
    for name in ("points", "ids", "filter", "keys", "schema"):
        assert getattr(found, name) == getattr(expected, name), name
    assert found.changes_schema == kind.endswith(("_index", "_vector_name"))
    assert decode_operation(cbor2.dumps({kind: body})).clock is None


def test_every_kind_has_a_case() -> None:
    assert {kind for kind, _, _ in CASES} == KINDS


def test_what_is_not_known_is_unknown() -> None:
    """Another kind, another form of a known one, or no operation at all; any bytes whatsoever."""
    rng = random.Random(3)
    strange: list[Any] = [{"new_kind": {}}, {"delete_points": {}}, {"delete_points": 3}, [], 3, {}]
    strange += [{"delete_points": {"ids": 3}}, {"upsert_points": {"rows": []}}, {1: 2, 3: 4}]
    raw = [cbor2.dumps(one) for one in strange]
    raw += [b"", b"\x81" * 5000, b"\x9b" + b"\xff" * 8, b"\xa1\xa0\xa0"]
    raw += [rng.randbytes(rng.randrange(40)) for _ in range(2000)]
    for one in raw:
        assert decode_operation(one).kind == UNKNOWN
        assert decode_operation(one).detail


def test_an_entry_cut_or_changed_is_read_or_unknown() -> None:
    rng = random.Random(4)
    for kind, body, _ in CASES:
        data = bytearray(cbor2.dumps({kind: body, "clock_tag": TAG}))
        for _ in range(100):
            harmed = bytearray(data)
            harmed[rng.randrange(len(data))] = rng.randrange(256)
            assert decode_operation(bytes(harmed)).kind in {*KINDS, UNKNOWN}
            assert decode_operation(bytes(data[: rng.randrange(len(data))])).kind == UNKNOWN


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"upsert_points": {"points": [{"id": 1, "vector": [0.5] * 8}]}}, False),
        ({"delete_points": {"ids": [1]}}, False),
        ({"create_index": {"field_name": "a", "field_schema": "keyword"}}, False),
        ({"delete_points_by_filter": {"must": []}}, True),
        ({"upsert_points_conditional": {"points_op": {"points": []}, "condition": {}}}, True),
        ({"set_payload": {"payload": {"a": 1}, "points": [1], "filter": None}}, False),
        ({"set_payload": {"payload": {"a": 1}, "points": None, "filter": {"must": []}}}, True),
        ({"update_vectors": {"points": [{"id": 1}], "update_filter": {"must": []}}}, True),
        ({"update_vectors": {"points": [{"id": 1}]}}, False),
        ({"something_new": {}}, True),
    ],
)
def test_what_reads_the_state_of_points_is_known(operation: Any, expected: bool) -> None:
    """Whatever the order and the form of the map; and what is unknown may do so."""
    assert reads_state(cbor2.dumps(operation | {"clock_tag": TAG})) is expected
    assert reads_state(cbor2.dumps({"clock_tag": TAG} | operation)) is expected
    endless = b"\xbf" + cbor2.dumps(operation)[1:] + b"\xff"
    assert reads_state(endless) is expected
    assert reads_state(b"") is reads_state(b"\xa1") is reads_state(b"\xa1\x78") is True
