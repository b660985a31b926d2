"""What an assignment goes by: the view and the sessions of its members, the shards' parents in the
newest groups, and where seeds have read them."""

from __future__ import annotations

from collections.abc import Sequence

from cleancut.core.backup.assignment import (
    Fullness,
    Homes,
    Parents,
    check_versions,
    newest_entries,
)
from cleancut.core.backup.phases import Assign
from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    NotFound,
    Refused,
    Unavailable,
)
from cleancut.core.primitives.ids import AgentName, PeerId
from cleancut.core.protocol.etcd_keys import agent_of
from cleancut.core.protocol.etcd_records import Session
from cleancut.repository.catalog import list_epochs, load_group
from cleancut.repository.garbage import read_seeds
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import decode_or_skip, read_archive_plan

PARENT_GROUPS = 5


async def read_view_and_sessions(
    context: CoordinatorContext, effect: Assign
) -> tuple[View, dict[AgentName, Session]]:
    """The view that was agreed on, and the members' sessions.

    Raises: Unavailable (a session is gone), Refused (a peer's Qdrant is too old).
    """
    path = context.paths.probe(effect.epoch, effect.view_object)
    view = decode(View, await context.store.get(path), path)
    listing = await context.etcd.list(context.keys.sessions)
    there = {agent_of(item.key): item for item in listing.items}
    read = {name: decode_or_skip(context, Session, item) for name, item in there.items()}
    sessions = {name: one for name, one in read.items() if one is not None}
    gone = [name for name in effect.members if name not in sessions]
    if gone:
        raise Unavailable(f"agent {gone[0]} lost its session")
    sessions = {name: sessions[name] for name in effect.members}
    check_versions(sessions)
    return view, sessions


async def read_parents(context: CoordinatorContext, chosen: Sequence[str]) -> Parents:
    """The newest entry of each shard among the last groups."""
    return newest_entries(await read_parent_groups(context, chosen))


async def read_parent_groups(context: CoordinatorContext, chosen: Sequence[str]) -> list[Manifest]:
    """The last groups, newest first; an unreadable one is not used as a parent, nor an imported
    one, which costs bytes and nothing else."""
    groups: list[Manifest] = []
    epochs = await list_epochs(context.store, context.paths)
    for epoch in reversed(epochs[-PARENT_GROUPS:]):
        try:
            group = await load_group(context.store, context.paths, epoch)
        except (Corrupt, NotFound, Refused, Unavailable):
            continue
        if group.imported is not None:
            continue
        groups.append(group)
        held = {entry.name for entry in groups[-1].collections}
        if held >= set(chosen):
            break
    return groups


async def read_homes(context: CoordinatorContext) -> Homes:
    """Where the newest seed that still waits for its backup has read each shard: only the agent
    there knows what was left of it."""
    try:
        seeds = await read_seeds(context.store, context.paths)
    except Corrupt:
        return {}  # as with parents
    read = (shard for _, seed in sorted(seeds.items()) for shard in seed.shards)
    return {(name, shard_id): peer for name, shard_id, peer in read}


async def read_archived(context: CoordinatorContext) -> Homes:
    """The peers at which the logs of shards are archived."""
    return {task.place: task.peer for task in (await read_archive_plan(context)).tasks}


async def read_fullness(context: CoordinatorContext, view: View, chosen: Sequence[str]) -> Fullness:
    """The points in each replica of shards with several, from each peer's own answer. What cannot
    be read is not known: the replicas are counted and compared again after the cut."""
    replicas = [
        (name, one.shard_id)
        for name in chosen
        if (seen := view.collection(name)) is not None
        for one in seen.replicas
    ]
    if len(replicas) == len(set(replicas)):
        return {}
    try:
        weights = await ask_any(context.peers, lambda peer: peer.weights())
    except CleancutError:
        return {}
    return {
        (name, shard.shard_id, PeerId(replica.peer_id)): replica.points
        for name, entry in weights.collections.items()
        for shard in entry.shards
        for replica in shard.replicas
        if replica.points is not None
    }
