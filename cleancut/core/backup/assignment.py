"""Assignment of shards to agents: each shard is cut by one Active replica at a member. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from cleancut.core.cluster.versions import OLDEST_QDRANT
from cleancut.core.cluster.view import ACTIVE, CollectionView, View
from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.primitives.ids import AgentName, PeerId, ShardId, parse_version
from cleancut.core.protocol.etcd_records import Parent, Session, ShardTask

MAX_TASKS = 200
Parents = Mapping[tuple[str, int], ShardEntry]
Homes = Mapping[tuple[str, int], PeerId]
Fullness = Mapping[tuple[str, int, PeerId], int]
"""Points in each replica of a shard with several, as its peer says."""
NOWHERE: Homes = {}
UNKNOWN: Fullness = {}


def choose_collections(view: View, asked: Iterable[str], *, allow_empty: bool) -> list[str]:
    """The collections to back up, sorted. Raises: NotFound, Refused (nothing to
    back up, or some of it is hidden)."""
    there = {entry.name for entry in view.collections}
    chosen = sorted(set(asked)) or sorted(there)
    hidden = sorted(set(asked) & set(view.hidden) if asked else view.hidden)
    if hidden:
        raise _hidden(view, hidden)
    missing = [name for name in chosen if name not in there]
    if missing:
        raise NotFound(f"collection {missing[0]!r} does not exist", "see GET /collections")
    if not chosen and not allow_empty:
        raise Refused("there is nothing to back up", "pass --allow-empty if that is meant")
    return chosen


def _hidden(view: View, names: list[str]) -> Refused:
    shadowed = sorted(set(names) & {alias for alias, _ in view.aliases})
    if not shadowed:
        return Refused(
            f"Qdrant lists {', '.join(map(repr, names))} and does not describe them",
            "try again; if it stays so, look at Qdrant's log and at what its API key may read",
        )
    return Refused(
        f"aliases hide the collections {', '.join(map(repr, shadowed))}: nothing can read these",
        "rename the aliases (`cleancut doctor` has the calls); --collection backs up the others",
    )


def check_versions(sessions: Mapping[AgentName, Session]) -> None:
    """Raises: Refused, if a peer's Qdrant is too old."""
    for name, session in sorted(sessions.items()):
        if parse_version(session.qdrant_version) < OLDEST_QDRANT:
            raise Refused(
                f"Qdrant {session.qdrant_version} of agent {name} is too old",
                "upgrade Qdrant to 1.17.1 or newer",
            )


def assign(
    view: View,
    chosen: list[str],
    sessions: Mapping[AgentName, Session],
    parents: Parents,
    *,
    homes: Homes = NOWHERE,
    full: bool = False,
    points: Fullness = UNKNOWN,
) -> dict[AgentName, tuple[ShardTask, ...]]:
    """The tasks of each member, by collection and shard.

    Of replicas only the fullest count: Qdrant may call one Active that lacks points. Among those
    the parent's peer is preferred, then the shard's home, then the peer with the fewest shards so
    far.
    `full`: nothing that is stored already is reused.
    Raises: Refused, naming the first shard that no member can cut.
    """
    agents = {session.peer_id: name for name, session in sorted(sessions.items())}
    tasks: dict[AgentName, list[ShardTask]] = {name: [] for name in sessions}
    load: Counter[PeerId | None] = Counter()
    for name in chosen:
        collection = view.collection(name)
        assert collection is not None, "chosen from this very view"
        _check_none_lost(collection)
        for shard_id in shard_ids(collection):
            able = _fullest(name, shard_id, _able(collection, shard_id, agents), points)
            parent = parents.get((name, shard_id))
            known = (parent.peer_id if parent else None, homes.get((name, shard_id)))
            home = next((one for one in known if one in able), None)
            peer = home if home is not None else min(able, key=lambda p: (load[p], p))
            load[peer] += 1
            tasks[agents[peer]].append(_task(collection, shard_id, peer, parent, full=full))
    for agent, given in tasks.items():
        if len(given) > MAX_TASKS:
            raise Refused(
                f"agent {agent} would have to cut {len(given)} shards, more than {MAX_TASKS}"
            )
    return {agent: tuple(given) for agent, given in tasks.items()}


def _check_none_lost(collection: CollectionView) -> None:
    if collection.lost:
        raise Refused(
            f"shard {collection.lost[0]} of {collection.name!r} lost every replica",
            "see `cleancut doctor` for the repair; back up the others with --collection",
            collection=collection.name,
            shard=collection.lost[0],
        )


def shard_ids(collection: CollectionView) -> list[ShardId]:
    """The ids of all shards in the view, sorted."""
    return sorted({replica.shard_id for replica in collection.replicas})


def _able(
    collection: CollectionView, shard_id: int, agents: Mapping[PeerId | None, AgentName]
) -> list[PeerId]:
    replicas = [r for r in collection.replicas if r.shard_id == shard_id]
    moving = {
        peer
        for transfer in collection.transfers
        if transfer.shard_id == shard_id
        for peer in (transfer.source, transfer.target)
    }
    able = [
        r.peer_id
        for r in replicas
        if r.state == ACTIVE and r.peer_id in agents and r.peer_id not in moving
    ]
    if not able:
        where = ", ".join(f"peer {r.peer_id} ({r.state})" for r in replicas) or "nowhere"
        raise Refused(
            f"no agent can cut shard {shard_id} of {collection.name!r}: it is on {where}",
            "start an agent for each peer, or wait until the replica is Active",
            collection=collection.name,
            shard=shard_id,
        )
    return able


def _fullest(name: str, shard_id: int, able: list[PeerId], points: Fullness) -> list[PeerId]:
    held = {peer: points.get((name, shard_id, peer), 0) for peer in able}
    return [peer for peer in able if held[peer] == max(held.values())]


def _task(
    collection: CollectionView,
    shard_id: ShardId,
    peer: PeerId,
    parent: ShardEntry | None,
    *,
    full: bool,
) -> ShardTask:
    shard_key = next(one.shard_key for one in collection.replicas if one.shard_id == shard_id)
    same = (
        parent is not None
        and parent.quiet
        and parent.peer_id == peer
        and (parent.uuid, parent.shard_key) == (collection.uuid, shard_key)
    )
    return ShardTask(
        collection=collection.name,
        shard_id=shard_id,
        peer_id=peer,
        recipe=parent.recipe if parent else "",
        parent=Parent(second=parent.second, uuid=parent.uuid, shard_key=shard_key)
        if parent and same
        else None,
        shard_key=shard_key,
        full=full,
    )


def newest_entries(groups: Iterable[Manifest]) -> dict[tuple[str, int], ShardEntry]:
    """The newest entry of each shard; `groups` newest first."""
    entries: dict[tuple[str, int], ShardEntry] = {}
    for group in groups:
        for entry in group.shards:
            entries.setdefault((entry.collection, entry.shard_id), entry)
    return entries
