"""Plan of the archive: which agent follows which shard, and what agents say of it. Pure.

Keys in etcd: `archive/plan`, `archive/round` (by the leader), `archive/ends/<agent>` and
`archive/state/<agent>` (by that agent).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec

from cleancut.core.archive.records import MarkEnd
from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import AgentName, FencingToken, PeerId, ShardId
from cleancut.core.wal.tail import Position

AWAY_S = 15.0
"""How long an agent may be without a session before another replica is followed instead."""
LEAST_CHUNK_S = 1.0
MOST_CHUNK_S = 3600.0
LEAST_MARK_S = 1.0

Place = tuple[str, ShardId]
"""A shard, by its collection and number."""


class ArchiveSettings(Record, frozen=True, forbid_unknown_fields=True):
    """`[archive]` of a coordinator. `collections`: names or aliases, `*` for any characters; none:
    off. `exclude`: names and aliases that do not count.

    `chunk_s`: how long entries wait at most to be stored. `keep_s`: how long they stay.
    `mark_every_s`: how often a mark is taken.
    """

    collections: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    chunk_s: float = msgspec.field(default=10.0, name="chunk")
    keep_s: float = msgspec.field(default=7 * 86400.0, name="keep")
    mark_every_s: float = msgspec.field(default=10.0, name="mark_every")

    def takes(self, collection: str, aliases: Mapping[str, str]) -> bool:
        """Whether the collection, or an alias of it, is named and that name is not excluded: so one
        whose own name is excluded counts by an alias. `aliases`: what is behind each."""
        names = [collection, *(alias for alias, of in aliases.items() if of == collection)]
        return any(
            _matches(name, self.collections) and not _matches(name, self.exclude) for name in names
        )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, one) for one in patterns)


def check_archive(settings: ArchiveSettings) -> ArchiveSettings:
    """`settings`, if they are valid. Raises: Invalid."""
    where = "[archive]"
    if not LEAST_CHUNK_S <= settings.chunk_s <= MOST_CHUNK_S:
        raise Invalid(
            f"{where}: chunk of {settings.chunk_s:g} s", "write 1s to 1h: it is what may be lost"
        )
    if settings.mark_every_s < LEAST_MARK_S:
        raise Invalid(f"{where}: mark-every of {settings.mark_every_s:g} s", "write 1s or more")
    if settings.keep_s < settings.chunk_s:
        raise Invalid(
            f"{where}: keep of {settings.keep_s:g} s is less than a chunk", "write 1h, 7d, 30d"
        )
    if "" in (*settings.collections, *settings.exclude):
        raise Invalid(f"{where}: a collection without a name", 'write ["docs"], or ["*"] for all')
    return settings


class ArchiveTask(Record, frozen=True):
    """`agent` follows the replica of this shard at `peer`."""

    collection: str
    uuid: str
    shard: ShardId
    peer: PeerId
    agent: AgentName
    shard_key: str | int | None = None

    @property
    def place(self) -> Place:
        return self.collection, self.shard


class ArchivePlan(Record, frozen=True):
    """`archive/plan`: all tasks, by collection and shard."""

    chunk_s: float
    tasks: tuple[ArchiveTask, ...] = ()


class RoundRequest(Record, frozen=True):
    """`archive/round`: each agent of the plan answers where its logs end. The round's number is the
    revision at which this was written. `marked_ms`: when the newest mark was taken; 0: none was."""

    nonce: str
    marked_ms: int = 0


class RoundEnds(Record, frozen=True):
    """`archive/ends/<agent>`: an answer to a round: where each log ended that is followed."""

    round: int
    ends: tuple[MarkEnd, ...]


class FollowedShard(Record, frozen=True):
    """A shard that is followed. `last`: the newest entry that is stored, `seen`: that was read; -1
    for none. `behind_ms`: when the oldest one was read that is not stored; 0: all are.
    `position`: where a later tail continues behind `last`."""

    collection: str
    shard: ShardId
    uuid: str
    log: str
    chain: str
    first: int
    last: int = -1
    seen: int = -1
    behind_ms: int = 0
    position: Position | None = None

    @property
    def place(self) -> Place:
        return self.collection, self.shard


class UnfollowedShard(Record, frozen=True):
    """A shard of the plan that this agent cannot follow now, and why."""

    collection: str
    shard: ShardId
    reason: str

    @property
    def place(self) -> Place:
        return self.collection, self.shard


class ArchiveState(Record, frozen=True):
    """`archive/state/<agent>`: what an agent follows and has stored; kept when it is away, so that
    it can continue. `raw_bytes`, `stored_bytes`: of the chunks of this run."""

    agent: AgentName
    session: FencingToken
    stream: str
    at_ms: int
    shards: tuple[FollowedShard, ...] = ()
    unfollowed: tuple[UnfollowedShard, ...] = ()
    raw_bytes: int = 0
    stored_bytes: int = 0
    problem: str = ""
    nonce: str = ""


@dataclass(frozen=True, slots=True)
class Follower:
    """An agent that can read the logs of its peer. `away_s`: how long it has had no session."""

    agent: AgentName
    peer: PeerId
    away_s: float = 0.0


def plan_tasks(
    collections: Sequence[LiveShards],
    followers: Collection[Follower],
    before: Mapping[Place, ArchiveTask],
    bases: Mapping[Place, PeerId],
) -> tuple[ArchiveTask, ...]:
    """Which agent follows which shard. `before`: the plan until now; `bases`: the peer of each
    shard's newest base.

    One that is followed already stays, as long as its replica is Active and its agent was not away
    for long; an agent that is away is kept also while there is no other. Then the peer of the
    newest base is preferred, then the lowest one.
    """
    found = []
    by_peer = {one.peer: one for one in followers}
    for collection in sorted(collections, key=lambda one: one.name):
        for shard in collection.shard_ids:
            active = [one for one in collection.of(shard) if one.state == ACTIVE]
            there = sorted(one.peer_id for one in active if one.peer_id in by_peer)
            place = collection.name, shard
            peer = _source(there, by_peer, before.get(place), bases.get(place))
            if peer is None:
                continue
            key = next((one.shard_key for one in active if one.peer_id == peer), None)
            found.append(
                ArchiveTask(
                    collection=collection.name,
                    uuid=collection.uuid,
                    shard=shard,
                    peer=peer,
                    agent=by_peer[peer].agent,
                    shard_key=key,
                )
            )
    return tuple(found)


def _source(
    there: Sequence[PeerId],
    by_peer: Mapping[PeerId, Follower],
    before: ArchiveTask | None,
    base: PeerId | None,
) -> PeerId | None:
    present = [peer for peer in there if by_peer[peer].away_s <= 0.0]
    kept = before.peer if before is not None and before.peer in there else None
    if kept is not None and (by_peer[kept].away_s <= AWAY_S or not present):
        return kept
    if base is not None and base in present:
        return base
    return next(iter(present or there), None)
