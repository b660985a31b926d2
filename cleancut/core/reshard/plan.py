"""Plan of a reshard: a pure function of the places and sizes of one collection's replicas.

Each step makes or drops one shard. A new one is placed where the collection has the fewest shards,
then where most space is free; on the way down Qdrant drops the last one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from shlex import quote

from msgspec.structs import replace

from cleancut.core.cluster.layout import Layout, LayoutCollection, LayoutPeer, blockers_of
from cleancut.core.cluster.resharding import ENABLING, Direction
from cleancut.core.primitives.codec import Record, digest_of
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.primitives.numbers import whole_number
from cleancut.core.protocol.blockers import check_unblocked
from cleancut.core.protocol.requests import ReshardRequest, check_shard_number

_SHOWN = 10


class ReshardStep(Record, frozen=True):
    """`shards`: how many there are after it. `peers`: that get a replica of the new shard
    `shard_id`, or had one of the dropped shard. `old`, `new`: the shards under the key before and
    after it. `size_bytes`: about what moves between shards, for each replica."""

    shards: int
    shard_id: ShardId
    peers: tuple[PeerId, ...]
    old: tuple[ShardId, ...]
    new: tuple[ShardId, ...]
    size_bytes: int = 0

    @property
    def direction(self) -> Direction:
        return Direction.UP if len(self.new) > len(self.old) else Direction.DOWN

    @property
    def changed(self) -> tuple[ShardId, ...]:
        """The shards that points leave or come to."""
        return tuple(sorted({*self.old, *self.new}))


class ReshardPlan(Record, frozen=True):
    """It can start if there are no `blockers`. `present`, `wanted`: numbers of shards, of those
    under `shard_key` if there is one. `uuid`: the collection's; "" if Qdrant does not say.
    Order: the steps are made in theirs."""

    collection: str
    present: int
    wanted: int
    shard_key: str | int | None = None
    steps: tuple[ReshardStep, ...] = ()
    notes: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    uuid: str = ""

    @property
    def moved_bytes(self) -> int:
        return sum(step.size_bytes * max(1, len(step.peers)) for step in self.steps)

    @property
    def digest(self) -> str:
        """sha256 of the steps and blockers, without the sizes, which change continuously."""
        steps = [replace(step, size_bytes=0) for step in self.steps]
        return digest_of((self.collection, self.shard_key, steps, self.blockers))


def check_no_alias(aliases: Mapping[str, str], name: str) -> None:
    """Raises: NotFound, with the collection behind an alias: an alias may be switched while the
    collection is resharded, so it has to be named itself."""
    if name in aliases:
        raise NotFound(
            f"{name!r} is an alias, not a collection",
            f"reshard the collection that it points to: {quote(aliases[name])}",
        )


def make_reshard(layout: Layout, request: ReshardRequest) -> ReshardPlan:
    """The plan. Raises: NotFound, if there is no such collection or key; Invalid, Refused, for a
    number or a key that the collection cannot have."""
    check_shard_number(request.shards)
    entry = next((one for one in layout.collections if one.name == request.collection), None)
    if entry is None:
        raise NotFound(f"there is no collection {request.collection!r}", "see its name in Qdrant")
    key = _key_of(entry, request.shard_key)
    mine = tuple(sorted({one.shard_id for one in entry.replicas if one.shard_key == key}))
    alone = replace(layout, collections=(entry,))
    plan = ReshardPlan(
        collection=entry.name,
        present=len(mine),
        wanted=request.shards,
        shard_key=key,
        uuid=entry.uuid,
    )
    if len(mine) == request.shards:
        return replace(plan, notes=(f"{entry.name!r} has {len(mine)} shards already",))
    blockers = [*blockers_of(alone), *_not_allowed(alone)]
    if blockers:
        return replace(plan, blockers=tuple(blockers))
    place = _Places(alone, entry, mine)
    steps = tuple(place.steps(request.shards))
    blockers = [*place.full(), *_uncounted(alone, mine, entry, steps)]
    notes = (*_notes(alone, entry), *_not_created_again(entry, key, steps))
    return replace(plan, steps=steps, notes=notes, blockers=tuple(blockers))


def check_reshard(plan: ReshardPlan) -> ReshardPlan:
    """Raises: Refused, with the first blocker and the number of others."""
    hint = f"see `cleancut reshard plan {quote(plan.collection)}` for all of them"
    check_unblocked("reshard", plan.blockers, hint)
    return plan


def check_same(plan: ReshardPlan, before: str) -> None:
    """`before`: the uuid at the steps before. Raises: Refused, for another collection."""
    if before and plan.uuid != before:
        raise Refused(
            f"{plan.collection!r} has been deleted and made again since its reshard began",
            "see what it holds, then reshard it",
        )


def check_agreed(plan: ReshardPlan, digest: str) -> None:
    """Raises: Refused, if another plan was agreed to."""
    if digest and digest != plan.digest:
        raise Refused(
            "the cluster has changed since the plan was made", "look at `cleancut reshard plan`"
        )


def _key_of(entry: LayoutCollection, asked: str | None) -> str | int | None:
    """The shard key that `asked` means. Raises: Refused, NotFound."""
    found_keys = {r.shard_key for r in entry.replicas if r.shard_key is not None}
    keys = sorted(found_keys, key=lambda one: (isinstance(one, str), one))
    shown = ", ".join(repr(one) for one in keys[:_SHOWN]) + ", ..." * (len(keys) > _SHOWN)
    if asked is None:
        if entry.shard_number is None:
            raise Refused(
                f"{entry.name!r} has shard keys, each with its own shards: {shown or 'none yet'}",
                "name one with --shard-key; N shards means N for that key",
            )
        return None
    if entry.shard_number is not None:
        raise Refused(f"{entry.name!r} has no shard keys", "leave --shard-key out")
    found = [key for key in (asked, whole_number(asked)) if key in keys]
    if not found:
        raise NotFound(f"{entry.name!r} has no shard key {asked!r}", f"it has {shown or 'none'}")
    return found[0]


def _not_allowed(layout: Layout) -> Iterator[str]:
    off = [str(peer.peer_id) for peer in layout.peers if peer.reshards is False]
    if off:
        yield (
            f"Qdrant does not allow resharding at {'peer' if len(off) == 1 else 'peers'}"
            f" {', '.join(off)}: set {ENABLING} for every peer, and restart them one by one"
        )


def _notes(layout: Layout, entry: LayoutCollection) -> Iterator[str]:
    if entry.factor > len(layout.peers):
        yield (
            f"replication factor {entry.factor} on {len(layout.peers)} peers gives"
            f" {len(layout.peers)} replicas"
        )


def _not_created_again(
    entry: LayoutCollection, key: str | int | None, steps: tuple[ReshardStep, ...]
) -> Iterator[str]:
    """Qdrant gives all shards of a new key ids in a row. A key that has others in the end is not
    made again as it was."""
    ids = steps[-1].new if steps else ()
    if key is None or not ids or ids[-1] - ids[0] + 1 == len(ids):
        return
    yield (
        f"{entry.name}: key {key!r} will have the shards {', '.join(map(str, ids))}, which Qdrant"
        " cannot create again with these ids, so an ordinary restore refuses backups of it: they"
        " are restored with --shards and --offline, which give its shards other ids"
    )


def _uncounted(
    layout: Layout,
    mine: tuple[ShardId, ...],
    entry: LayoutCollection,
    steps: tuple[ReshardStep, ...],
) -> Iterator[str]:
    holders = {one.peer_id for one in entry.replicas if one.shard_id in mine}
    holders |= {peer for step in steps for peer in step.peers}
    for peer in layout.peers:
        if peer.peer_id in holders and peer.answers and not peer.counted:
            yield (
                f"peer {peer.peer_id} has no agent, so its replicas cannot be counted: start its"
                " cleancut-agent"
            )


class _Places:
    """Replicas of one key's shards, as the steps change them. Sizes are of one replica."""

    def __init__(self, layout: Layout, entry: LayoutCollection, mine: tuple[ShardId, ...]) -> None:
        self._mine = mine
        self._next = max((one.shard_id for one in entry.replicas), default=-1) + 1
        self._peers: dict[PeerId, LayoutPeer] = {peer.peer_id: peer for peer in layout.peers}
        self._named = layout.named
        self._copies = min(max(1, entry.factor), max(1, len(self._peers)))
        self._held = Counter(one.peer_id for one in entry.replicas)
        self._holders: dict[ShardId, tuple[PeerId, ...]] = {
            shard: tuple(sorted(r.peer_id for r in entry.replicas if r.shard_id == shard))
            for shard in mine
        }
        sizes = dict(entry.sizes)
        self._total = sum(sizes.get(shard, 0) for shard in mine)
        self._grown: Counter[PeerId] = Counter()

    def steps(self, wanted: int) -> Iterator[ReshardStep]:
        """One shard at a time until there are `wanted`."""
        while len(self._mine) < wanted:
            yield self._up()
        while len(self._mine) > wanted:
            yield self._down()

    def full(self) -> Iterator[str]:
        """Peers without room for what comes to them; what leaves is freed later, and not counted
        on."""
        for peer_id, grown in sorted(self._grown.items()):
            free = self._peers[peer_id].free_bytes if peer_id in self._peers else None
            if free is not None and free < grown:
                yield (
                    f"{self._named(peer_id)} gets {_size(grown)} and has {_size(free)} free: add"
                    " space, or reshard to a number that is nearer"
                )

    def _up(self) -> ReshardStep:
        def emptiest(peer: PeerId) -> tuple[float, float, PeerId]:
            free = self._peers[peer].free_bytes
            return self._held[peer], -(math.inf if free is None else free - self._grown[peer]), peer

        peers = tuple(sorted(self._peers, key=emptiest)[: self._copies])
        shard, old = ShardId(self._next), self._mine
        self._next += 1
        self._mine = (*old, shard)
        self._holders[shard] = peers
        size = self._total // len(self._mine)
        for peer in peers:
            self._held[peer] += 1
            self._grown[peer] += size
        return ReshardStep(len(self._mine), shard, peers, old, self._mine, size)

    def _down(self) -> ReshardStep:
        old, shard = self._mine, max(self._mine)
        self._mine = tuple(one for one in old if one != shard)
        peers, size = self._holders.pop(shard), self._total // len(old)
        for other in self._mine:
            for peer in self._holders[other]:
                self._grown[peer] += size // len(self._mine)
        for peer in peers:
            self._held[peer] -= 1
        return ReshardStep(len(self._mine), shard, peers, old, self._mine, size)


def _size(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
