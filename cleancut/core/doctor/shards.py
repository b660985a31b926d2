"""Shards and their replicas: lost, inactive, idle and missing ones. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cleancut.core.cluster.live_shards import INITIALIZING, LiveShards
from cleancut.core.cluster.resharding import RECEIVES, RECEIVES_AND_SERVES, under_way
from cleancut.core.cluster.view import ACTIVE, ReplicaView
from cleancut.core.doctor import fixes
from cleancut.core.doctor.facts import Facts, Finding, Fix
from cleancut.core.primitives.ids import Epoch, ShardId

_AT_WORK = frozenset({ACTIVE, "Listener", RECEIVES, RECEIVES_AND_SERVES})


def find_shards(facts: Facts) -> Iterator[Finding]:
    """Lost, inactive, idle and missing replicas; transfers and resharding under way."""
    for entry in facts.collections:
        yield from _lost(facts, entry)
        yield from _inactive(facts, entry)
        yield from _idle(facts, entry)
        yield from _few(facts, entry)
        yield from _moving(facts, entry)


def _lost(facts: Facts, entry: LiveShards) -> Iterator[Finding]:
    by_group: dict[Epoch | None, list[ShardId]] = {}
    for shard in entry.lost:
        by_group.setdefault(facts.holder(entry.name, shard), []).append(shard)
    for epoch, shards in by_group.items():
        what = f"{shards_named(shards)} of {entry.name!r} lost every replica: reads of the whole"
        what += " collection fail"
        if epoch is None:
            what += "; no backup holds it, so restore or refill the collection"
        else:
            what += f"; put back what backup #{epoch} holds (other shards stay as they are)"
        outside = _outside(facts, entry, shards)
        if outside:
            what += f"; {outside} may still hold it: see the finding of that peer first"
        repair = () if epoch is None else (Fix(fixes.repair(epoch, entry.name, shards)),)
        yield Finding(kind="lost_shard", severity="error", what=what, fixes=repair)


def _outside(facts: Facts, entry: LiveShards, shards: Sequence[ShardId]) -> str:
    """Peers out of the cluster whose disk has one of these shards."""
    return ", ".join(
        facts.named(peer.peer_id)
        for peer in facts.peers
        if any(
            one.collection == entry.name and one.shard_id in shards for one in facts.unique_on(peer)
        )
    )


def _inactive(facts: Facts, entry: LiveShards) -> Iterator[Finding]:
    fresh = []
    for shard in entry.shard_ids:
        replicas = entry.of(shard)
        if not replicas or any(r.state in {ACTIVE, RECEIVES_AND_SERVES} for r in replicas):
            continue
        if shard in {one.shard_id for one in entry.resharding}:
            continue  # the new one: nothing is read from it yet
        if facts.restoring and all(r.state == INITIALIZING for r in replicas):
            fresh.append(shard)
            continue
        where = ", ".join(f"{r.state} at {facts.named(r.peer_id)}" for r in replicas)
        away = [r.peer_id for r in replicas if r.peer_id not in facts.heard]
        words = "start those peers" if away else "see the logs of these peers"
        yield Finding(
            kind="no_active_replica",
            severity="error",
            what=f"shard {shard} of {entry.name!r} has no Active replica, only {where}: it can be"
            f" neither read nor written; {words}",
        )
    if fresh:
        yield Finding(
            kind="restoring",
            severity="info",
            what=f"{shards_named(fresh)} of {entry.name!r} {'is' if len(fresh) == 1 else 'are'}"
            f" being made while restore {facts.restoring} is under way",
            fixes=(Fix(f"cleancut restore watch {facts.restoring}"),),
        )


def _idle(facts: Facts, entry: LiveShards) -> Iterator[Finding]:
    moving = {(t.shard_id, t.target) for t in entry.transfers}
    for replica in entry.replicas:
        active = [r.peer_id for r in entry.of(replica.shard_id) if r.state == ACTIVE]
        idle = (replica.shard_id, replica.peer_id) not in moving
        if replica.state in _AT_WORK or not active or not idle:
            continue
        yield _replica(facts, entry, replica, source=min(active))


def _replica(facts: Facts, entry: LiveShards, replica: ReplicaView, *, source: int) -> Finding:
    heard = replica.peer_id in facts.heard
    words = "no transfer repairs it" if heard else "its peer does not answer"
    copy = fixes.copy_replica(
        facts.url, entry.name, replica.shard_id, source=source, target=replica.peer_id
    )
    steps = (
        Fix(fixes.shards_of(facts.url, entry.name), what="look again: Qdrant repairs some itself"),
        Fix(
            copy,
            "loses-data",
            "copy it again: what only this replica holds is replaced by the copy",
        ),
    )
    return Finding(
        kind="idle_replica",
        severity="warning",
        what=f"the replica of shard {replica.shard_id} of {entry.name!r} at"
        f" {facts.named(replica.peer_id)} is {replica.state}; {words}",
        fixes=steps if heard else (),
    )


def _few(facts: Facts, entry: LiveShards) -> Iterator[Finding]:
    wanted = min(entry.replication_factor, len(facts.members))
    moving = {transfer.shard_id for transfer in entry.transfers}
    moving |= {one.shard_id for one in entry.resharding}
    few = [
        shard
        for shard in entry.shard_ids
        if 0 < len(entry.of(shard)) < wanted and shard not in moving
    ]
    if few:
        yield Finding(
            kind="few_replicas",
            severity="warning",
            what=f"{shards_named(few)} of {entry.name!r} {'has' if len(few) == 1 else 'have'} fewer"
            f" than {wanted} replicas: Qdrant does not add them by itself",
            fixes=(Fix("cleancut rebalance start"),),
        )


def _moving(facts: Facts, entry: LiveShards) -> Iterator[Finding]:
    for transfer in entry.transfers:
        yield Finding(
            kind="transfer",
            severity="info",
            what=f"shard {transfer.shard_id} of {entry.name!r} is on its way from"
            f" {facts.named(transfer.source)} to {facts.named(transfer.target)}",
        )
    if entry.resharding:
        yield Finding(
            kind="resharding",
            severity="info",
            what=f"{entry.name!r} is being resharded ({under_way(entry.resharding)}); backups of it"
            " wait for its end",
        )


def shards_named(shards: Sequence[int]) -> str:
    """`shard 3`, or `shards 0, 3`."""
    if len(shards) == 1:
        return f"shard {shards[0]}"
    return "shards " + ", ".join(str(shard) for shard in shards)
