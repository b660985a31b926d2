"""Assignment of shards to agents: each shard is cut by one Active replica at a member. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.cluster.resharding import under_way
from cleancut.core.cluster.versions import OLDEST_QDRANT
from cleancut.core.cluster.view import ACTIVE, CollectionView, ReplicaView, View
from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.primitives.errors import Invalid, NotFound, Refused
from cleancut.core.primitives.ids import (
    AgentName,
    PeerId,
    ShardId,
    check_streamable,
    parse_version,
)
from cleancut.core.protocol.etcd_records import Parent, Session, ShardTask, UnusableReplica
from cleancut.core.protocol.failures import ShardsMoving
from cleancut.core.protocol.fence import aliases_of
from cleancut.core.protocol.requests import BackupRequest, SeedRequest, check_selection

Parents = Mapping[tuple[str, int], ShardEntry]
Homes = Mapping[tuple[str, int], PeerId]
Fullness = Mapping[tuple[str, int, PeerId], int]
"""Points in each replica of a shard with several, as its peer says."""
NOWHERE: Homes = {}
UNKNOWN: Fullness = {}


class Usable:
    """The replicas that agents can cut: those at the peers of `sessions`, but for the unusable."""

    def __init__(
        self, sessions: Mapping[AgentName, Session], unusable: Iterable[UnusableReplica] = ()
    ) -> None:
        self.names = tuple(sessions)
        self.agents = {session.peer_id: name for name, session in sorted(sessions.items())}
        self._unusable = {(one.collection, one.shard_id, one.peer_id) for one in unusable}

    def has_agent(self, replica: ReplicaView) -> bool:
        """True if an agent runs at its peer."""
        return replica.peer_id in self.agents

    def named(self, replica: ReplicaView) -> str:
        """Its peer by the agent there, and by its id, for people."""
        return peer_and_id(replica.peer_id, {replica.peer_id: self.agents.get(replica.peer_id, "")})

    def is_loaded(self, collection: str, replica: ReplicaView) -> bool:
        """False if its agent found that the peer has not loaded it."""
        return (collection, replica.shard_id, replica.peer_id) not in self._unusable


def choose_collections(
    view: View, request: BackupRequest | SeedRequest
) -> tuple[list[str], dict[str, str]]:
    """The collections to back up, sorted, and those that cannot be, with the reason: the hidden
    ones, and named ones that may be missing. An alias stands for the collection behind it, which
    counts once. Raises: NotFound, Refused (nothing to back up), Invalid (named and excluded)."""
    there = {entry.name for entry in view.collections}
    behind = aliases_of(view)
    may_miss = isinstance(request, BackupRequest) and request.allow_missing
    allow_empty = isinstance(request, BackupRequest) and request.allow_empty
    exclude = request.exclude if isinstance(request, BackupRequest) else ()
    names = {name: behind.get(name, name) for name in sorted(request.collections)}
    check_selection(names.values(), {behind.get(name, name) for name in exclude})
    asked = sorted(set(names.values())) or sorted(there)
    hidden = sorted(set(asked) & set(view.hidden) if request.collections else view.hidden)
    absent = [name for name, of in names.items() if of not in there and of not in hidden]
    if absent and not may_miss:
        raise not_there(absent[0], behind)
    sick = {name: _why_absent(name, behind) for name in absent}
    sick |= {name: _why_hidden(view, name) for name in hidden}
    chosen = [name for name in asked if name in there]
    if not chosen and not sick and not allow_empty:
        raise Refused("there is nothing to back up", "pass --allow-empty if that is meant")
    return chosen, sick


def not_there(
    name: str, aliases: Mapping[str, str], hint: str = "see GET /collections"
) -> NotFound:
    """The error of a name that no collection has, nor an alias of one."""
    if name in aliases:
        return NotFound(
            f"alias {name!r} points to collection {aliases[name]!r}, which does not exist",
            "delete the alias, or let it point to a collection that exists",
        )
    return NotFound(f"collection {name!r} does not exist", hint)


def _why_absent(name: str, aliases: Mapping[str, str]) -> str:
    of = aliases.get(name)
    return "it does not exist" if of is None else f"it is an alias of {of!r}, which does not exist"


def sick_collections(view: View, chosen: Iterable[str], usable: Usable) -> dict[str, str]:
    """Those among `chosen` of which some shard cannot be cut, or that no restore could bring back,
    with the reason."""
    found = {}
    for name in chosen:
        collection = view.collection(name)
        assert collection is not None, "chosen from this very view"
        try:
            check_streamable(name, max(shard_ids(collection), default=0))
            _check_not_resharded(collection)
            _check_none_lost(collection)
            for shard_id in shard_ids(collection):
                _able(collection, shard_id, usable)
        except (Invalid, Refused) as error:
            found[name] = f"{error.message} ({error.hint})" if error.hint else error.message
    return found


def only_agents_missing(view: View, names: Iterable[str], usable: Usable) -> bool:
    """Whether these collections could be backed up if each peer had a usable agent."""
    return all(
        (collection := view.collection(name)) is not None
        and not collection.resharding
        and not collection.lost
        and all(
            _able_peers(collection, shard_id, usable)
            or any(
                not usable.has_agent(replica)
                for replica in collection.replicas
                if replica.shard_id == shard_id
            )
            for shard_id in shard_ids(collection)
        )
        for name in names
    )


def check_at_rest(view: View, chosen: Iterable[str], usable: Usable) -> None:
    """Raises: ShardsMoving, if a chosen collection is being resharded, or nothing but transfers
    keeps a shard of it from being cut."""
    for name in chosen:
        collection = view.collection(name)
        assert collection is not None, "chosen from this very view"
        if collection.resharding:
            raise ShardsMoving(
                f"collection {name!r} is being resharded ({under_way(collection.resharding)})",
                "it is tried again; a backup never holds a collection between two rings",
                collection=name,
            )
        resting = replace(collection, transfers=())
        for shard_id in shard_ids(collection) if collection.transfers else ():
            if not _able_peers(collection, shard_id, usable) and _able_peers(
                resting, shard_id, usable
            ):
                raise ShardsMoving(
                    f"shard {shard_id} of {name!r} is in a transfer, and no other replica of it can"
                    " be cut",
                    "it is tried again; see `cleancut doctor` for transfers under way",
                    collection=name,
                )


def _check_not_resharded(collection: CollectionView) -> None:
    if collection.resharding:
        raise Refused(
            f"it is being resharded ({under_way(collection.resharding)})", "wait until that is over"
        )


def _why_hidden(view: View, name: str) -> str:
    if name in {alias for alias, _ in view.aliases}:
        return "an alias hides it: rename the alias (`cleancut doctor` has the calls)"
    return (
        "Qdrant lists it and does not describe it; if it stays so, look at Qdrant's log and at what"
        " its API key may read"
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
    chosen: Iterable[str],
    usable: Usable,
    parents: Parents,
    *,
    homes: Homes = NOWHERE,
    archived: Homes = NOWHERE,
    full: bool = False,
    audit: bool = False,
    points: Fullness = UNKNOWN,
) -> dict[AgentName, tuple[ShardTask, ...]]:
    """The tasks of each member, by collection and shard.

    Of replicas only the fullest count: Qdrant may call one Active that lacks points. Among those
    that is preferred whose log is archived, so that the backup is a base of it; then the parent's
    peer, then the shard's home, then the peer with the fewest shards so far.
    `full`: nothing that is stored already is reused; `audit`: see `ShardTask`.
    Raises: Refused, naming the first shard that no member can cut.
    """
    agents = usable.agents
    tasks: dict[AgentName, list[ShardTask]] = {name: [] for name in usable.names}
    load: Counter[PeerId | None] = Counter()
    for name in chosen:
        collection = view.collection(name)
        assert collection is not None, "chosen from this very view"
        _check_not_resharded(collection)
        _check_none_lost(collection)
        for shard_id in shard_ids(collection):
            able = _fullest(name, shard_id, _able(collection, shard_id, usable), points)
            parent = parents.get((name, shard_id))
            place = name, shard_id
            known = (archived.get(place), parent and parent.peer_id, homes.get(place))
            home = next((one for one in known if one in able), None)
            peer = home if home is not None else min(able, key=lambda p: (load[p], p))
            load[peer] += 1
            task = _task(collection, shard_id, peer, parent)
            tasks[agents[peer]].append(replace(task, full=full, audit=audit))
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


def _able(collection: CollectionView, shard_id: int, usable: Usable) -> list[PeerId]:
    able = _able_peers(collection, shard_id, usable)
    if not able:
        moving = _moving(collection, shard_id)
        replicas = [r for r in collection.replicas if r.shard_id == shard_id]
        name = collection.name
        where = ", ".join(
            f"{usable.named(r)} ({_state(name, r, usable, moving)})" for r in replicas
        )
        raise Refused(
            f"no agent can cut shard {shard_id} of {collection.name!r}: it is on "
            f"{where or 'no peer'}",
            "`cleancut doctor` names agents that are missing or cannot use their Qdrant; start"
            " them, or wait until the replica is Active",
            collection=collection.name,
            shard=shard_id,
        )
    return able


def _able_peers(collection: CollectionView, shard_id: int, usable: Usable) -> list[PeerId]:
    moving = _moving(collection, shard_id)
    return [
        r.peer_id
        for r in collection.replicas
        if r.shard_id == shard_id
        and r.state == ACTIVE
        and usable.is_loaded(collection.name, r)
        and usable.has_agent(r)
        and r.peer_id not in moving
    ]


def _moving(collection: CollectionView, shard_id: int) -> set[PeerId]:
    return {
        peer
        for transfer in collection.transfers
        if transfer.shard_id == shard_id
        for peer in (transfer.source, transfer.target)
    }


def _state(name: str, replica: ReplicaView, usable: Usable, moving: set[PeerId]) -> str:
    if not usable.is_loaded(name, replica):
        return "not loaded: see that peer's log"
    if replica.peer_id in moving:
        return "in a transfer"
    return replica.state if usable.has_agent(replica) else f"{replica.state}, used by no agent"


def _fullest(name: str, shard_id: int, able: list[PeerId], points: Fullness) -> list[PeerId]:
    held = {peer: points.get((name, shard_id, peer), 0) for peer in able}
    return [peer for peer in able if held[peer] == max(held.values())]


def _task(
    collection: CollectionView,
    shard_id: ShardId,
    peer: PeerId,
    parent: ShardEntry | None,
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
    )


def shard_keys(collection: CollectionView) -> tuple[tuple[str | int, tuple[ShardId, ...]], ...]:
    """The ids of each custom sharding key, by the first of them; none without such keys."""
    by_key: dict[str | int, set[int]] = {}
    for replica in collection.replicas:
        if replica.shard_key is not None:
            by_key.setdefault(replica.shard_key, set()).add(replica.shard_id)
    ordered = sorted(by_key.items(), key=lambda item: min(item[1]))
    return tuple((key, tuple(ShardId(i) for i in sorted(ids))) for key, ids in ordered)


def newest_entries(groups: Iterable[Manifest]) -> dict[tuple[str, int], ShardEntry]:
    """The newest entry of each shard; `groups` newest first."""
    entries: dict[tuple[str, int], ShardEntry] = {}
    for group in groups:
        for entry in group.shards:
            entries.setdefault((entry.collection, entry.shard_id), entry)
    return entries
