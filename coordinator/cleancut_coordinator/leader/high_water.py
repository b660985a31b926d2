"""High-water marks, read and written: etcd compared with what the store knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from cleancut.core.format.paths import ObjectKind, Paths
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused, TimedOut
from cleancut.core.primitives.ids import Epoch, FencingToken
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Failure, Operation
from cleancut.core.protocol.high_water import (
    BEHIND_HINT,
    BegunMark,
    EndedMark,
    EtcdPosition,
    HighWaterMark,
    PublishedMark,
    StoreMarks,
    refused_behind,
    why_behind,
)
from cleancut.core.protocol.states import CLOSED, FINAL_STATES, State
from cleancut.ports.coordination import Modified, Put
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_document
from cleancut.repository.catalog import newest_epoch
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_ctl, read_operations
from cleancut_coordinator.leader.cluster_id import check_store_owner, put_probe, read_identities
from cleancut_coordinator.leader.installation import check_installation
from cleancut_coordinator.leader.state import LeaderState

OPENED, BEGUN, PUBLISHED, ENDED = "opened", "begun", "published", "ended"
READ_S = 30.0
CLOSED_S = 30.0
_POLL_S = 0.5
_LOOK_BACK = 20
_DAMAGED_HINT = "look at the store's folder `marks`: another copy of the store may have them whole"


async def put_opened(context: CoordinatorContext, epoch: Epoch) -> None:
    """Marks the epoch in the store. Order: before `ctl` names it.

    Raises: Refused, if the store belongs to another cluster, or holds another mark of this epoch.
    """
    position = await read_position(context)
    mark = HighWaterMark(
        epoch=epoch,
        cluster_id=position.cluster_id,
        owner_number=(await read_identities(context)).owner_number,
        etcd_id=position.etcd_id,
        revision=position.revision,
    )
    await context.store.put(context.paths.mark(epoch, OPENED), encode(mark))


async def open_epoch(context: CoordinatorContext, probe: Probe) -> None:
    """What every operation but a backup begins with: the cluster is this installation's, the epoch
    is marked, and the probe is there for the agents. Raises: as `put_opened`, `check_installation`.
    """
    await check_installation(context)
    await put_opened(context, probe.epoch)
    await put_probe(context, probe)


async def read_position(context: CoordinatorContext) -> EtcdPosition:
    """Where etcd is now."""
    listing = await context.etcd.list(context.keys.epoch)
    counter = next((item for item in listing.items if item.key == context.keys.epoch), None)
    found = await context.etcd.get(context.keys.id)
    return EtcdPosition(
        cluster_id=found.value.decode(errors="replace") if found else "",
        etcd_id=f"{listing.cluster_id:x}",
        epoch=Epoch(context.skipped.read_number(counter.key, counter.value) if counter else 0),
        revision=listing.revision,
    )


async def read_why_behind(context: CoordinatorContext) -> str:
    """Why etcd is behind the store, or "". Raises: what the store does; TimedOut."""
    try:
        async with asyncio.timeout(READ_S):
            mark = await _newest_mark(context.store, context.paths)
    except TimeoutError as error:
        raise _hangs(context) from error
    return why_behind(mark, await read_position(context))


async def check_not_behind(context: CoordinatorContext) -> None:
    """Raises: Refused, if etcd shows a past of what the store knows."""
    behind = await read_why_behind(context)
    if behind:
        failure = refused_behind(behind)
        raise Refused(failure.message, failure.hint)


async def read_marks(context: CoordinatorContext, epoch: Epoch) -> StoreMarks:
    """What the store knows of the attempt that is open in etcd. Raises: what the store does."""
    try:
        async with asyncio.timeout(READ_S):
            mark = await _newest_mark(context.store, context.paths)
            published = await _read(context, epoch, PUBLISHED)
            ended = await _read(context, epoch, ENDED)
            committed = await _is_committed(context, epoch)
            begun = await _read(context, epoch, BEGUN)
    except TimeoutError as error:
        raise _hangs(context) from error
    path = context.paths.mark
    state = decode(EndedMark, ended, path(epoch, ENDED)).state if ended else None
    position = await read_position(context)
    own = mark is not None and mark.cluster_id == position.cluster_id
    return StoreMarks(
        newest=mark.epoch if mark is not None and own else Epoch(0),
        behind=why_behind(mark, position),
        published=decode(PublishedMark, published, path(epoch, PUBLISHED)).report
        if published
        else "",
        ended=State.COMMITTED if committed else state,
        begun=begun is not None,
    )


async def put_begun(context: CoordinatorContext, epoch: Epoch) -> None:
    """Marks that the cluster may be changed from now on. Repeatable."""
    await context.store.put(context.paths.mark(epoch, BEGUN), encode(BegunMark(epoch=epoch)))


async def put_published(context: CoordinatorContext, epoch: Epoch, report: str) -> str:
    """Marks the restore as published; the report that counts, which an earlier leader may have
    marked. Repeatable."""
    path = context.paths.mark(epoch, PUBLISHED)
    earlier = await _read(context, epoch, PUBLISHED)
    if earlier is None:
        await context.store.put(path, encode(PublishedMark(epoch=epoch, report=report)))
        earlier = await context.store.get(path)
    return decode(PublishedMark, earlier, path).report


async def put_ended(context: CoordinatorContext, epoch: Epoch, state: State) -> None:
    """Marks that nothing of the attempt is left to be done. Repeatable; the first end counts."""
    if await _read(context, epoch, ENDED) is None:
        mark = EndedMark(epoch=epoch, state=state)
        await context.store.put(context.paths.mark(epoch, ENDED), encode(mark))


async def check_undoable(context: CoordinatorContext, epoch: Epoch) -> None:
    """Raises: Refused, if the store knows that this attempt was published, or is long over."""
    marks = await read_marks(context, epoch)
    if marks.behind or marks.published or marks.newest > epoch:
        raise Refused(
            f"the restore of epoch {epoch} is not undone: the store knows that it was published or"
            " that a newer epoch began, so etcd has gone back",
            BEHIND_HINT,
        )


async def accept_etcd(
    context: CoordinatorContext, token: FencingToken, reread: Callable[[], None]
) -> None:
    """Takes etcd as it is for the present again: what was waiting in it ends, its counter goes past
    all that the store knows, and that is marked. Repeatable. `reread`: makes the leader see what
    is open in etcd, so that it ends it.

    Raises: Refused, while an operation is under way; Fenced.
    """
    if not await read_why_behind(context):
        return
    deadline_s = context.clock.monotonic_s() + CLOSED_S
    while (ctl := await read_ctl(context)).phase not in CLOSED:
        if context.clock.monotonic_s() < deadline_s:
            reread()
            await context.clock.sleep(_POLL_S)
            continue
        raise Refused(
            f"{ctl.kind} {ctl.operation} is open in {ctl.phase}, although etcd has gone back",
            "repeat this once `cleancut status` shows no open operation",
        )
    await check_store_owner(context)
    state = LeaderState(context, token)
    failure = refused_behind("it was pending in an etcd that was restored")
    for operation in await read_operations(context):
        if operation.state not in FINAL_STATES:
            await state.end_operation(operation, State.NEEDS_OPERATOR, failure)
    found = await context.etcd.get(context.keys.epoch)
    epoch = Epoch(await newest_epoch(context.store, context.paths) + 1)
    unchanged = Modified(context.keys.epoch, found.mod_revision if found else 0)
    written = await state.txn([Put(context.keys.epoch, str(epoch).encode())], unchanged)
    if not written.applied:
        raise Refused("an operation began meanwhile", "repeat this once it is over")
    await put_opened(context, epoch)


async def end_behind(
    context: CoordinatorContext, state: LeaderState, operation: Operation
) -> Failure | None:
    """Ends a pending operation that may not begin since etcd has gone back; None if it may."""
    behind = await read_why_behind(context)
    if not behind:
        return None
    failure = refused_behind(behind)
    await state.end_operation(operation, State.NEEDS_OPERATOR, failure)
    return failure


async def _newest_mark(store: Store, paths: Paths) -> HighWaterMark | None:
    """The newest that can be read, with the epoch of the newest that there is: one that is damaged
    has its epoch in its path. Raises: Corrupt, if that is so of many in a row."""
    found = []
    async for info in store.list(paths.marks):
        kind, epoch, name = paths.parse(info.path)
        if kind is ObjectKind.MARK and epoch is not None and name == OPENED:
            found.append((Epoch(epoch), info.path))
    found.sort(reverse=True)
    damage: Corrupt | None = None
    for _, path in found[:_LOOK_BACK]:
        try:
            mark = decode(HighWaterMark, await read_document(store, path), path)
        except Corrupt as error:
            damage = damage or error
            continue
        return replace(mark, epoch=found[0][0])
    if damage is not None:
        raise Corrupt(damage.message, _DAMAGED_HINT)
    return None


async def _is_committed(context: CoordinatorContext, epoch: Epoch) -> bool:
    """True if the catalog has, or had, a backup of this epoch."""
    for path in (context.paths.group(epoch), context.paths.tombstone(epoch)):
        if await context.store.stat(path) is not None:
            return True
    return False


async def _read(context: CoordinatorContext, epoch: Epoch, name: str) -> bytes | None:
    try:
        return await context.store.get(context.paths.mark(epoch, name))
    except NotFound:
        return None


def _hangs(context: CoordinatorContext) -> TimedOut:
    return TimedOut(
        f"store {context.store_url} does not answer within {READ_S:.0f} s",
        "check the mount or the endpoint of the store",
    )
