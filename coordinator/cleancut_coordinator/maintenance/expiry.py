"""Groups that come into the catalog late, and those that leave it."""

from __future__ import annotations

from cleancut.core.format.manifest import parse_manifest
from cleancut.core.maintenance.clocks import find_clock_doubt
from cleancut.core.maintenance.garbage import Tombstone
from cleancut.core.maintenance.retention import RetentionPlan, plan_retention
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Group, Operation
from cleancut.core.protocol.requests import RestoreRequest, UndeleteRequest
from cleancut.core.protocol.states import FINAL_STATES, OperationKind
from cleancut.ports.store import Store
from cleancut.repository.catalog import get_checked, publish_group
from cleancut.repository.garbage import ReferencedNames, read_holds
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_all, read_operations, read_sessions
from cleancut_coordinator.leader.state import LeaderState, format_now
from cleancut_coordinator.schedules import read_policy


async def publish_missing(context: CoordinatorContext, state: LeaderState) -> None:
    """Groups that etcd has decided on are in the catalog: what they name is not garbage.

    What etcd says of a group goes once its operation's record has: the catalog has it by then, or
    it cannot be published any more. Raises: Fenced.
    """
    there = {info.path async for info in context.store.list(context.paths.groups)}
    known = {operation.epoch for operation in await read_operations(context)}
    over = []
    for group in await read_all(context, context.keys.groups, Group):
        path = context.paths.group(group.epoch)
        if not {path, context.paths.tombstone(group.epoch)} & there:
            staged = context.paths.staged(group.epoch, group.manifest)
            try:
                data = await get_checked(context.store, staged, group.manifest)
                manifest = parse_manifest(data, staged)
            except (NotFound, Corrupt, Refused) as error:  # a store that was replaced, or damaged
                cause = f"backup {group.epoch} cannot be published: {error.message}"
                context.skipped.add(context.keys.group(group.epoch), cause)
            else:
                await publish_group(context.store, context.paths, manifest, data)
        if group.epoch not in known:
            over.append(context.keys.group(group.epoch))
    await state.delete_all(over)


async def plan_expiry(context: CoordinatorContext, names: ReferencedNames) -> RetentionPlan:
    """The groups that retention expires, and that nothing needs or holds; and all others."""
    facts = [group.facts for group in (await names.groups()).values()]
    busy, now_s = await epochs_in_use(context), context.clock.wall_s()
    _, held = await read_holds(context.store, context.paths, now_s)
    needed = {Epoch(epoch): "held" for epoch in held}
    needed |= {epoch: f"{user.kind} {user.id} needs it" for epoch, user in busy.items()}
    return plan_retention(facts, await read_policy(context), now_s, needed)


async def doubt_of_clock(context: CoordinatorContext) -> str:
    """Why nothing may be deleted by this clock, "" if it agrees with the store's and the agents'.

    Raises: what etcd and the store do.
    """
    sessions = (await read_sessions(context)).values()
    agents = {str(session.name): session.clock for session in sessions}
    store_s = await context.store.clock_s()
    return find_clock_doubt(context.clock.wall_s(), store_s, agents)


async def put_tombstone(
    context: CoordinatorContext, epoch: Epoch, why: str, store: Store | None = None
) -> None:
    """The group is deleted; one that is already stays so. `store`: None for the main one."""
    where, path = store or context.store, context.paths.tombstone(epoch)
    if await where.stat(path) is None:
        stone = Tombstone(deleted_at=format_now(context.clock), why=why)
        await where.put(path, encode(stone))


async def delete_group(
    context: CoordinatorContext, epoch: Epoch, why: str, store: Store | None = None
) -> bool:
    """Whether the group is deleted now: not if a hold has come meanwhile. `store`: as above.

    Order: the tombstone, then the holds. What holds a group looks in the other order, so that at
    least one of the two sees the other; nothing is deleted yet that the group names.
    """
    where, path = store or context.store, context.paths.tombstone(epoch)
    if await where.stat(path) is not None:
        return True
    await put_tombstone(context, epoch, why, store)
    _, held = await read_holds(where, context.paths, context.clock.wall_s(), epoch)
    if held:
        await where.delete(path)
    return not held


async def epochs_in_use(context: CoordinatorContext) -> dict[Epoch, Operation]:
    """The own groups that a restore or an undelete waits for or reads, by which one does."""
    found = {}
    for operation in await read_operations(context):
        if operation.state in FINAL_STATES:
            continue
        if operation.kind is OperationKind.RESTORE:
            request = decode(RestoreRequest, operation.request.encode(), operation.id)
            if not request.from_cluster and not request.from_store:
                found[request.backup] = operation
        elif operation.kind is OperationKind.UNDELETE:
            undelete = decode(UndeleteRequest, operation.request.encode(), operation.id)
            found[undelete.backup] = operation
    return found
