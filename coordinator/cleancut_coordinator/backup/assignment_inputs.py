"""What an assignment goes by: the view and the sessions of its members, the shards' parents in the
newest groups, and where seeds have read them."""

from __future__ import annotations

from collections.abc import Sequence

from cleancut.core.backup.assignment import Homes, Parents, check_versions, newest_entries
from cleancut.core.backup.phases import Assign
from cleancut.core.cluster.view import View
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.etcd_records import Session
from cleancut.repository.catalog import list_epochs, load_group
from cleancut.repository.garbage import read_seeds
from cleancut_coordinator.context import CoordinatorContext

PARENT_GROUPS = 5


async def read_view_and_sessions(
    context: CoordinatorContext, effect: Assign
) -> tuple[View, dict[AgentName, Session]]:
    """The view that was agreed on, and the members' sessions.

    Raises: Unavailable (a session is gone), Refused (a peer's Qdrant is too old).
    """
    path = context.paths.probe(effect.epoch, effect.view_object)
    view = decode(View, await context.store.get(path), path)
    prefix = context.keys.sessions
    listing = await context.etcd.list(prefix)
    there = {AgentName(item.key.removeprefix(prefix)): item for item in listing.items}
    gone = [name for name in effect.members if name not in there]
    if gone:
        raise Unavailable(f"agent {gone[0]} lost its session")
    items = {name: there[name] for name in effect.members}
    sessions = {name: decode(Session, item.value, item.key) for name, item in items.items()}
    check_versions(sessions)
    return view, sessions


async def read_parents(context: CoordinatorContext, chosen: Sequence[str]) -> Parents:
    """The newest entry of each shard among the last groups; an unreadable one is not used as
    a parent, which costs bytes and nothing else."""
    groups = []
    epochs = await list_epochs(context.store, context.paths)
    for epoch in reversed(epochs[-PARENT_GROUPS:]):
        try:
            groups.append(await load_group(context.store, context.paths, epoch))
        except (Corrupt, NotFound, Refused, Unavailable):
            continue
        held = {entry.name for entry in groups[-1].collections}
        if held >= set(chosen):
            break
    return newest_entries(groups)


async def read_homes(context: CoordinatorContext) -> Homes:
    """Where the newest seed that still waits for its backup has read each shard: only the agent
    there knows what was left of it."""
    try:
        seeds = await read_seeds(context.store, context.paths)
    except Corrupt:
        return {}  # as with parents
    read = (shard for _, seed in sorted(seeds.items()) for shard in seed.shards)
    return {(name, shard_id): peer for name, shard_id, peer in read}
