"""Warnings attached to a group's manifest; the group itself is valid. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import Manifest, ReplicaEntry, ShardEntry, diverged
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import AgentName, PeerId
from cleancut.core.primitives.spelling import suggestion
from cleancut.core.protocol.etcd_records import (
    Ctl,
    Reading,
    Session,
    ShardTask,
    SickCollection,
)

_WARNED = {"consensus_stopped", "no_restore_rights", "restore_by_upload", "red_shard", "disk_low"}
"""Kinds of concerns that are warnings of a backup."""
_SHOWN = 5


def unseen_peers(view: View, peers: Collection[PeerId | None]) -> tuple[str, ...]:
    """A warning for each peer without an agent that took part."""
    return tuple(
        f"peer {peer} took no part: it has no agent, or its agent's Qdrant did not answer"
        for peer in sorted(set(view.peers) - set(peers))
    )


def concerned(sessions: Collection[Session]) -> tuple[str, ...]:
    """What agents found of the capabilities that a restore needs, and of their peers' health."""
    return tuple(
        f"agent {one.name}: {concern.what}"
        for one in sorted(sessions, key=lambda one: one.name)
        for concern in one.concerns
        if concern.kind in _WARNED
    )


def cut_in_waves(tasks: Mapping[AgentName, Sequence[ShardTask]], at_once: int) -> tuple[str, ...]:
    """One for each agent with more shards than it opens streams `at_once`."""
    return tuple(
        f"agent {agent} cut its {len(given)} shards in waves of {at_once}: their cuts lie further"
        " apart (see the skew)"
        for agent, given in sorted(tasks.items())
        if len(given) > at_once
    )


def left_out(missing: Sequence[SickCollection]) -> tuple[str, ...]:
    """One for each collection that a partial backup does not hold."""
    return tuple(f"{one.name} is missing: {one.reason}" for one in missing)


def excluded_unknown(exclude: Collection[str], there: Collection[str]) -> tuple[str, ...]:
    """One for each excluded name that no collection has: probably a typo."""
    return tuple(
        f"excluded collection {name!r} does not exist{suggestion(name, there)}"
        for name in sorted(set(exclude) - set(there))
    )


def not_drained(names: Collection[str], reasons: Mapping[str, str]) -> tuple[str, ...]:
    """A warning for each collection that was not drained: it cannot be proven quiet."""
    return tuple(
        f"{name} was not drained: {reasons.get(name, 'a drain was refused or did not answer')}"
        for name in sorted(names)
    )


def optimized(shards: Sequence[ShardEntry]) -> tuple[str, ...]:
    """One for all shards that Qdrant optimized at the cut: deletes of that time may be missing."""
    names = sorted(
        f"{one.collection}/{one.shard_id}"
        for one in shards
        if not one.reused
        and one.last_entry < 0
        and any(_is_optimizing(seen) for seen in (one.first, one.second))
    )
    if not names:
        return ()
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        f"optimizing: {', '.join(names[:_SHOWN])}{more} cut while Qdrant optimized them; points"
        " deleted since that began may come back in a restore",
    )


def never_still(ctl: Ctl) -> tuple[str, ...]:
    """A warning with the reason, if a moment without writes was looked for in vain."""
    return (ctl.unstill,) if ctl.unstill else ()


def replayed_by_state(shards: Sequence[ShardEntry]) -> tuple[str, ...]:
    """One for all shards with operations that a restore may replay with another result."""
    names = sorted(
        f"{one.collection}/{one.shard_id}"
        for one in shards
        if one.standstill is not None and one.standstill.by_state
    )
    if not names:
        return ()
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        f"replayed: {', '.join(names[:_SHOWN])}{more} took operations with a filter or a condition"
        " while they were cut; a restore applies these once more, and those of Qdrant before 1.19"
        " may then choose other points (upstream #9575)",
    )


def _is_optimizing(seen: Reading) -> bool:
    return seen.state is not None and seen.state.optimizing > 0


def divergent(shards: Sequence[ShardEntry], replicas: Sequence[ReplicaEntry]) -> tuple[str, ...]:
    """One for each replica that holds another number of points than the one that was cut."""
    agents = {int(shard.peer_id): str(shard.agent) for shard in shards}
    return tuple(
        f"{one.collection}/{one.shard_id}: its replica on {peer_and_id(one.peer_id, agents)} holds "
        f"{one.count} points, the one that was cut on {peer_and_id(shard.peer_id, agents)}"
        f" {shard.count}"
        for one, shard in diverged(shards, replicas)
    )


def check_replicas_agree(manifest: Manifest) -> None:
    """Raises: Refused, naming the shards whose replicas disagree."""
    told = divergent(manifest.shards, manifest.replicas)
    if told:
        raise Refused(
            f"not proven to be point-in-time, since replicas disagree: {'; '.join(told)}",
            "copy the right replica over the other one (docs/how-to/rebalance.md), then back up"
            " again",
        )
