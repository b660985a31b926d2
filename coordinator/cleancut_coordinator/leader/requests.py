"""Operations as they are asked for: recorded once, whatever the caller repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from cleancut.core.primitives.codec import Record, decode, digest_of, encode
from cleancut.core.primitives.errors import Fenced, Invalid, NotFound
from cleancut.core.primitives.ids import FencingToken, OperationId, check_collection_name, numbered
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.followers import rebalance_after, reshard_ids_after
from cleancut.core.protocol.requests import (
    BackupRequest,
    RebalanceRequest,
    ReshardRequest,
    check_attempts,
)
from cleancut.core.protocol.states import OperationKind, State
from cleancut.core.restore.overwrite import kept_backup_of
from cleancut.ports.coordination import Modified, Put
from cleancut.rpc.authentication import caller_name
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_operations, read_record
from cleancut_coordinator.leader.state import LeaderState, format_now

MAX_ID = 128
_PREFIX = {
    OperationKind.BACKUP: "b",
    OperationKind.RESTORE: "r",
    OperationKind.REBALANCE: "m",
    OperationKind.RESHARD: "n",
    OperationKind.SEED: "s",
    OperationKind.IMPORT: "i",
    OperationKind.UNDELETE: "u",
}
_NOUN = {
    OperationKind.BACKUP: "backup list",
    OperationKind.RESTORE: "restore list",
    OperationKind.REBALANCE: "rebalance list",
    OperationKind.RESHARD: "reshard list",
    OperationKind.UNDELETE: "undelete list",
}


class RequestRecord(Record, frozen=True):
    """`request/<id>`: the operation that this request id stands for, and what was asked."""

    operation: OperationId
    fingerprint: str
    nonce: str = ""


async def record(
    context: CoordinatorContext,
    token: FencingToken,
    kind: OperationKind,
    *,
    request: Record,
    request_id: str,
    also: Callable[[Operation], Sequence[Put]] | None = None,
    after: Callable[[OperationId], OperationId] | None = None,
) -> Operation:
    """The operation for this request: a new one, or that of an equal earlier one.

    `also`: what is written with a new one, or neither is. `after`: what has to be over before it.
    Raises: Invalid (the id was used with other content, or is malformed), Fenced.
    """
    if not request_id or len(request_id) > MAX_ID or not request_id.isprintable():
        raise Invalid("the request id must have 1-128 printable characters")
    fingerprint = digest_of([kind, request])
    key = context.keys.request(request_id.replace("/", "%2F"))
    asked_before = await _find(context, request_id)
    if asked_before is not None:
        return await _same(context, asked_before, kind, fingerprint)
    name = OperationId(f"{_PREFIX[kind]}-{context.token_hex(8)}")
    operation = Operation(
        id=name,
        kind=kind,
        state=State.PENDING,
        request=encode(request).decode(),
        request_id=request_id.replace("/", "%2F"),
        created_at=format_now(context.clock),
        asked_by=caller_name(),
        after=after(name) if after is not None else OperationId(""),
        nonce=context.token_hex(8),
    )
    asked = RequestRecord(operation=operation.id, fingerprint=fingerprint, nonce=operation.nonce)
    puts = [
        Put(key, encode(asked)),
        Put(context.keys.operation(operation.id), encode(operation)),
    ]
    if also is not None:
        puts += also(operation)
    if not (await LeaderState(context, token).txn(puts, Modified(key, 0))).applied:
        found = await context.etcd.get(key)
        if found is None:
            raise Fenced("another coordinator leads now", "repeat the request")
        return await _same(context, decode(RequestRecord, found.value, key), kind, fingerprint)
    return operation


def put_followers(
    context: CoordinatorContext,
    operation: Operation,
    *,
    reshards: Sequence[ReshardRequest] = (),
    rebalance: bool = False,
) -> list[Put]:
    """The operations that begin one after the other: reshards once `operation` is verified, the
    rest when it is done."""
    made: list[Operation] = []

    def follow(name: OperationId, kind: OperationKind, request: Record) -> None:
        made.append(
            Operation(
                id=name,
                kind=kind,
                state=State.PENDING,
                request=encode(request).decode(),
                created_at=operation.created_at,
                asked_by=operation.asked_by,
                after=made[-1].id if made else operation.id,
                nonce=context.token_hex(8),
            )
        )

    for name, request in zip(reshard_ids_after(operation.id, len(reshards)), reshards, strict=True):
        follow(name, OperationKind.RESHARD, replace(request, after=operation.id))
    if rebalance:
        after = RebalanceRequest(after=operation.id)
        follow(rebalance_after(operation.id), OperationKind.REBALANCE, after)
    return [Put(context.keys.operation(one.id), encode(one)) for one in made]


def put_kept_backup(context: CoordinatorContext, restore: Operation, collection: str) -> Put:
    """The backup of what this restore overwrites, which comes before it."""
    request = BackupRequest(collections=(collection,), require_point_in_time=True)
    backup = Operation(
        id=kept_backup_of(restore.id),
        kind=OperationKind.BACKUP,
        state=State.PENDING,
        request=encode(request).decode(),
        created_at=restore.created_at,
        asked_by=restore.asked_by,
        nonce=context.token_hex(8),
    )
    return Put(context.keys.operation(backup.id), encode(backup))


async def is_recorded(context: CoordinatorContext, request_id: str) -> bool:
    """True if an operation was recorded for this request id."""
    return await _find(context, request_id) is not None


async def recorded(
    context: CoordinatorContext, request_id: str, kind: OperationKind
) -> Operation | None:
    """The operation of this kind that was recorded for this request id."""
    found = await _find(context, request_id)
    if found is None:
        return None
    try:
        return await load(context, found.operation, kind)
    except NotFound:
        return None


async def _find(context: CoordinatorContext, request_id: str) -> RequestRecord | None:
    """What a request id stands for, if it was used."""
    key = context.keys.request(request_id.replace("/", "%2F"))
    return await read_record(context, key, RequestRecord)


async def _same(
    context: CoordinatorContext, asked: RequestRecord, kind: OperationKind, fingerprint: str
) -> Operation:
    if asked.fingerprint != fingerprint:
        raise Invalid(
            "this request id was used with other content",
            "give each new request an id of its own",
            operation=asked.operation,
        )
    return await load(context, asked.operation, kind)


def check_request(collections: Iterable[str], attempts: int) -> None:
    """Raises: Invalid, for what no backup or seed may ask for."""
    for name in collections:
        check_collection_name(name)
    check_attempts(attempts)


async def find(context: CoordinatorContext, operation: str) -> Operation | None:
    """The operation, for as long as it is kept."""
    key = context.keys.operation(operation.replace("/", "%2F"))
    return await read_record(context, key, Operation)


async def load(context: CoordinatorContext, operation: str, *kinds: OperationKind) -> Operation:
    """Raises: NotFound, if there is none of these kinds."""
    record = await find(context, operation)
    if record is None or record.kind not in kinds:
        raise NotFound(
            f"there is no {kinds[0]} {operation!r}",
            f"see `cleancut {_NOUN[kinds[0]]}`",
        )
    return record


async def load_all(context: CoordinatorContext, *kinds: OperationKind) -> list[Operation]:
    """All recorded operations of these kinds, newest first."""
    return sorted(
        (record for record in await read_operations(context) if record.kind in kinds),
        key=lambda record: (record.created_at, numbered(record.id)),
        reverse=True,
    )
