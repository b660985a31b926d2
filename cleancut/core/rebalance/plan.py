"""Plan of a rebalance: a pure function of the places and sizes of replicas.

Its goals, in this order: every shard has the wanted number of replicas, each on another peer;
peers hold equally many shards of each collection, and in all; bytes are even, where that is worth
moving them; as few bytes as possible move. No step takes a shard's last replica.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from msgspec.structs import replace

from cleancut.core.cluster.layout import Layout, LayoutCollection, blockers_of
from cleancut.core.cluster.view import ReplicaView
from cleancut.core.primitives.codec import Record, digest_of
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.blockers import check_unblocked
from cleancut.core.rebalance.notes import notes_of
from cleancut.core.rebalance.solver import Shard, ShardDemand, Spread

_WAVES = 100
_ORDER = ("replicate", "move", "drop")


class Step(Record, frozen=True):
    """One change of one shard's replicas: `source` has one, and loses it unless it replicates;
    `target` gets one, None if it is dropped. `keeps`: how many others a drop leaves at least.
    Order: waves one after the other, and within one the steps of one shard; those of different
    shards as it comes."""

    action: Literal["replicate", "move", "drop"]
    collection: str
    shard_id: ShardId
    source: PeerId
    target: PeerId | None = None
    size_bytes: int = 0
    wave: int = 0
    keeps: int = 0

    @property
    def shard(self) -> Shard:
        return self.collection, self.shard_id

    def __str__(self) -> str:
        where = f"{self.source} -> {self.target}" if self.target is not None else f"{self.source}"
        return f"{self.action} shard {self.shard_id} of {self.collection!r} ({where})"


class PeerLoad(Record, frozen=True):
    """The load of one peer before and after the steps, in replicas and bytes."""

    peer_id: PeerId
    shards_before: int
    shards_after: int
    bytes_before: int
    bytes_after: int


class BalancePlan(Record, frozen=True):
    """It can start if there are no `blockers`. `notes`: goals that it does not reach."""

    steps: tuple[Step, ...] = ()
    peers: tuple[PeerLoad, ...] = ()
    notes: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()

    @property
    def moved_bytes(self) -> int:
        return sum(step.size_bytes for step in self.steps if step.target is not None)

    @property
    def digest(self) -> str:
        """sha256 of the steps and blockers, without the sizes, which change continuously."""
        return digest_of(([replace(step, size_bytes=0) for step in self.steps], self.blockers))


def make_balance(layout: Layout, max_moves: int = 0, *, drop_surplus: bool = False) -> BalancePlan:
    """The plan. `max_moves` bounds the replicas that move; 0: unlimited.
    `drop_surplus`: no shard keeps more replicas than its collection wants."""
    blockers = tuple(blockers_of(layout))
    spread = _spread_of(layout, drop_surplus=drop_surplus)
    before = {peer: (spread.total[peer], spread.bytes[peer]) for peer in spread.peers}
    steps: list[Step] = []
    for wave in range(0 if blockers else _WAVES):
        spread.arrange()
        made = _steps(spread, wave)
        if not made:
            break
        steps += made
        spread.commit()
    chosen = _first(steps, max_moves) if max_moves else tuple(steps)
    after = _after(before, chosen)
    notes = [*notes_of(layout, drop_surplus=drop_surplus)]
    notes += [] if blockers else _lacking(spread)
    if len(chosen) < len(steps):
        notes.append(f"{len(steps) - len(chosen)} more steps follow without --max-moves")
    return BalancePlan(
        steps=chosen,
        peers=tuple(
            PeerLoad(
                peer_id=peer,
                shards_before=before[peer][0],
                shards_after=after[peer][0],
                bytes_before=before[peer][1],
                bytes_after=after[peer][1],
            )
            for peer in spread.peers
        ),
        notes=tuple(notes),
        blockers=(*blockers, *_uncounted(layout, chosen)),
    )


def check_balance(plan: BalancePlan) -> BalancePlan:
    """Raises: Refused, with the first blocker and the number of others."""
    hint = "see `cleancut rebalance plan` for all of them"
    check_unblocked("rebalance", plan.blockers, hint)
    return plan


def _spread_of(layout: Layout, *, drop_surplus: bool) -> Spread:
    shards: dict[Shard, ShardDemand] = {}
    known = {peer.peer_id for peer in layout.peers}
    for entry in layout.collections:
        sizes = dict(entry.sizes)
        factor = min(max(1, entry.factor), len(known))
        for number in sorted({replica.shard_id for replica in entry.replicas}):
            holders = frozenset(
                r.peer_id for r in entry.replicas if r.shard_id == number and r.peer_id in known
            )
            shards[entry.name, number] = ShardDemand(
                size_bytes=sizes.get(number, 0),
                replicas=factor if drop_surplus else max(factor, len(holders)),
                holders=holders,
            )
    room = {
        peer.peer_id: math.inf if peer.free_bytes is None else peer.free_bytes
        for peer in layout.peers
    }
    return Spread(shards, room)


def _steps(spread: Spread, wave: int) -> list[Step]:
    """The steps from the committed to the arranged state; the most useful of each kind first."""
    made: list[Step] = []
    given = dict.fromkeys(spread.peers, 0)
    for (name, number), before in spread.before.items():
        after, size = spread.holders[name, number], spread.shards[name, number].size_bytes
        added, removed = sorted(after - before), sorted(before - after)
        for at, target in enumerate(added):
            if at < len(removed):
                source, action = removed[at], "move"
            else:  # prefers a source that stays, and has not given much yet
                source = min(before, key=lambda peer: (peer in removed, given[peer], peer))
                action = "replicate"
            given[source] += 1
            made.append(_step(action, (name, number), (source, target), (size, wave)))
        for peer in removed[len(added) :]:
            drop = _step("drop", (name, number), (peer, None), (size, wave))
            made.append(replace(drop, keeps=len(after)))
    load = dict.fromkeys(spread.peers, 0)
    for before in spread.before.values():
        for peer in before:
            load[peer] += 1
    return sorted(made, key=lambda step: _usefulness(step, load))


def _step(
    action: str, shard: Shard, route: tuple[PeerId, PeerId | None], what: tuple[int, int]
) -> Step:
    return Step(
        action=action,  # type: ignore[arg-type]
        collection=shard[0],
        shard_id=shard[1],
        source=route[0],
        target=route[1],
        size_bytes=what[0],
        wave=what[1],
    )


def _usefulness(step: Step, load: dict[PeerId, int]) -> tuple[int, int, int, Shard]:
    gain = load[step.source] - load[step.target] if step.target is not None else 0
    return _ORDER.index(step.action), -gain, step.size_bytes, step.shard


def _first(steps: list[Step], moves: int) -> tuple[Step, ...]:
    travelling = [step for step in steps if step.target is not None]
    allowed = set(travelling[:moves])
    return tuple(step for step in steps if step.target is None or step in allowed)


def _after(
    before: dict[PeerId, tuple[int, int]], steps: tuple[Step, ...]
) -> dict[PeerId, tuple[int, int]]:
    after = dict(before)
    for step in steps:
        if step.action != "replicate":
            number, size = after[step.source]
            after[step.source] = number - 1, size - step.size_bytes
        if step.target is not None:
            number, size = after[step.target]
            after[step.target] = number + 1, size + step.size_bytes
    return after


def _uncounted(layout: Layout, steps: tuple[Step, ...]) -> Iterator[str]:
    """Peers without an agent whose replicas are to be counted: new ones, and all of a shard of
    which one is moved or dropped."""
    targets = {step.target for step in steps}
    touched = {step.shard for step in steps}
    holders = {
        replica.peer_id
        for entry in layout.collections
        for number, several in _by_shard(entry).items()
        if (entry.name, number) in touched and len(several) > 1
        for replica in several
    }
    for peer in layout.peers:
        if not peer.answers or peer.counted:
            continue
        if peer.peer_id in targets:
            yield (
                f"peer {peer.peer_id} has no agent, so the replicas that it would get could not be"
                " counted: start its cleancut-agent"
            )
        elif peer.peer_id in holders:
            yield (
                f"peer {peer.peer_id} has no agent, so its replicas cannot be counted before"
                " others of their shards are moved or dropped: start its cleancut-agent"
            )


def _by_shard(entry: LayoutCollection) -> dict[ShardId, list[ReplicaView]]:
    found: dict[ShardId, list[ReplicaView]] = {}
    for replica in entry.replicas:
        found.setdefault(replica.shard_id, []).append(replica)
    return found


def _lacking(spread: Spread) -> Iterator[str]:
    for (name, number), wanted in spread.shards.items():
        if 0 < len(spread.holders[name, number]) < wanted.replicas:
            yield f"{name}: no peer has room for another replica of shard {number}"
    for name in spread.names:
        loads = [spread.number[name, peer] for peer in spread.peers]
        if max(loads) - min(loads) > 1:
            yield f"{name}: it cannot be spread evenly: not enough free space"
