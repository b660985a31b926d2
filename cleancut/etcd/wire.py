"""Guards, operations and answers as etcd's messages, both ways. Pure: no channel, no clock.

Keys are text here and UTF-8 bytes there; foreign bytes survive the round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from cleancut.core.primitives.errors import Invalid
from cleancut.etcd.pb import etcd_pb2 as pb
from cleancut.ports.coordination import (
    Change,
    Created,
    Delete,
    DeleteRange,
    Guard,
    KeyValue,
    Listing,
    Modified,
    Op,
    Put,
    UnchangedSince,
)

MAX_TXN_PARTS = 128
"""etcd's default --max-txn-ops, which counts guards and operations each."""


def encode_key(key: str) -> bytes:
    """Raises: Invalid for the empty key, which etcd refuses."""
    if not key:
        raise Invalid("an etcd key is empty")
    return key.encode("utf-8", "surrogateescape")


def prefix_range(prefix: str) -> tuple[bytes, bytes]:
    """The first key and the end (exclusive) of all keys that start with `prefix`.

    Source: etcd api/etcdserverpb/rpc.proto, RangeRequest: end "\\0" stands for no upper bound.
    """
    start = prefix.encode("utf-8", "surrogateescape")
    stem = start.rstrip(b"\xff")
    end = stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"
    return start or b"\0", end


def decode_kv(kv: Any) -> KeyValue:
    return KeyValue(
        key=kv.key.decode("utf-8", "surrogateescape"),
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        lease=kv.lease,
    )


def decode_listing(answer: Any) -> Listing:
    header = answer.header
    return Listing(header.revision, tuple(decode_kv(kv) for kv in answer.kvs), header.cluster_id)


def decode_changes(events: Iterable[Any], from_revision: int) -> tuple[Change, ...]:
    """The changes of a watch's answer, without what a reconnected stream might repeat."""
    return tuple(
        Change(decode_kv(event.kv), event.type == pb.Event.DELETE)
        for event in events
        if event.kv.mod_revision >= from_revision
    )


def range_request(prefix: str) -> Any:
    key, range_end = prefix_range(prefix)
    return pb.RangeRequest(key=key, range_end=range_end)


def watch_request(prefix: str, start_revision: int) -> Any:
    key, range_end = prefix_range(prefix)
    create = pb.WatchCreateRequest(key=key, range_end=range_end, start_revision=start_revision)
    return pb.WatchRequest(create_request=create)


def txn_request(guards: Sequence[Guard], ops: Sequence[Op]) -> Any:
    """The txn; where it is refused, it reads the first Put's key in the same instant.

    Raises: Invalid beyond 128 guards or operations.
    """
    check_txn_size(guards, ops)
    put = first_put(ops)
    read = [] if put is None else [_read_op(put.key)]
    return pb.TxnRequest(
        compare=[_compare(guard) for guard in guards],
        success=[_request_op(op) for op in ops],
        failure=read,
    )


def check_txn_size(guards: Sequence[Guard], ops: Sequence[Op]) -> None:
    """Raises: Invalid beyond what etcd accepts in one txn."""
    if max(len(guards), len(ops)) > MAX_TXN_PARTS:
        raise Invalid(
            f"a txn of {len(guards)} guards and {len(ops)} operations",
            f"etcd takes at most {MAX_TXN_PARTS} of each",
        )


def first_put(ops: Sequence[Op]) -> Put | None:
    """The Put whose value shows later whether the txn was applied."""
    return next((op for op in ops if isinstance(op, Put)), None)


def read_back(answer: Any) -> KeyValue | None:
    """What a refused txn saw under its first Put's key."""
    for response in answer.responses:
        for kv in response.response_range.kvs:
            return decode_kv(kv)
    return None


def _read_op(key: str) -> Any:
    return pb.RequestOp(request_range=pb.RangeRequest(key=encode_key(key)))


def _compare(guard: Guard) -> Any:
    match guard:
        case Created(key, revision):
            return pb.Compare(
                result=pb.Compare.EQUAL,
                target=pb.Compare.CREATE,
                key=encode_key(key),
                create_revision=revision,
            )
        case Modified(key, revision):
            return pb.Compare(
                result=pb.Compare.EQUAL,
                target=pb.Compare.MOD,
                key=encode_key(key),
                mod_revision=revision,
            )
        case UnchangedSince(prefix, revision):
            start, range_end = prefix_range(prefix)
            return pb.Compare(
                result=pb.Compare.LESS,
                target=pb.Compare.MOD,
                key=start,
                range_end=range_end,
                mod_revision=revision + 1,
            )
        case _:
            assert_never(guard)


def _request_op(op: Op) -> Any:
    match op:
        case Put(key, value, lease):
            put = pb.PutRequest(key=encode_key(key), value=value, lease=lease)
            return pb.RequestOp(request_put=put)
        case Delete(key):
            delete = pb.DeleteRangeRequest(key=encode_key(key))
            return pb.RequestOp(request_delete_range=delete)
        case DeleteRange(key, end):
            between = pb.DeleteRangeRequest(key=encode_key(key), range_end=encode_key(end))
            return pb.RequestOp(request_delete_range=between)
        case _:
            assert_never(op)
