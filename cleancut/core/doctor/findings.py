"""Findings of a doctor: what is wrong with a cluster, and the exact fix. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cleancut.core.cluster.live_shards import INITIALIZING, LiveShards
from cleancut.core.cluster.restored_names import restore_of
from cleancut.core.cluster.view import ACTIVE, ReplicaView
from cleancut.core.doctor import fixes
from cleancut.core.doctor.facts import AgentReport, Facts, Finding, Severity
from cleancut.core.primitives.ids import Epoch, PeerId, ShardId
from cleancut.core.protocol.fence import leftover_fences
from cleancut.core.protocol.states import FINAL_STATES, State

_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """All problems of a cluster; empty for a healthy one.

    Order: errors, warnings, infos; within each, problems that block other fixes come first.
    """
    found = [
        *_peers(facts),
        *_agents(facts),
        *_shards(facts),
        *_hidden(facts),
        *_aliases(facts),
        *_fences(facts),
        *_restores(facts),
        *_leftovers(facts),
        *_identity(facts),
    ]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


# Peers and agents


def _peers(facts: Facts) -> Iterator[Finding]:
    """Peers that fell out, and members that do not answer."""
    if not facts.peers and not facts.heard:
        yield Finding(
            kind="no_peer",
            severity="error",
            what="no Qdrant peer answers an agent or the coordinator;"
            " start the peers, or correct the coordinator's --qdrant-url",
        )
    members, explained = facts.members, set[PeerId]()
    for peer in sorted(facts.heard):
        seen = _set_of(facts, peer)
        if seen == members and peer in members:
            continue
        old = _old_id(facts, peer)
        explained |= set() if old is None else {old}
        yield _fallen_out(facts, peer, seen, old)
    for peer in members:
        if peer not in facts.heard and peer not in explained:
            yield _silent(facts, peer)


def _set_of(facts: Facts, peer: PeerId) -> tuple[PeerId, ...]:
    """The peer ids that this peer itself knows."""
    known = next((one.ids for one in facts.peers if one.peer_id == peer), None)
    if known is not None:
        return known
    return next(tuple(sorted(one.peers)) for one in facts.agents if one.peer_id == peer)


def _old_id(facts: Facts, peer: PeerId) -> PeerId | None:
    """The id of this peer before it lost its disk: the member with its address, else the only
    member that does not answer."""
    if peer in facts.members:
        return None
    own = next((dict(one.peers).get(peer) for one in facts.peers if one.peer_id == peer), None)
    addresses = facts.addresses
    silent = [one for one in facts.members if one not in facts.heard]
    same = [one for one in silent if own is not None and addresses.get(one) == own]
    if same:
        return same[0]
    return silent[0] if len(silent) == 1 and own is None else None


def _fallen_out(
    facts: Facts, peer: PeerId, seen: tuple[PeerId, ...], old: PeerId | None
) -> Finding:
    where = _agent_of(facts, peer)
    others = sorted(uri for one, uri in facts.addresses.items() if one not in {peer, old})
    if peer in facts.members:
        words = "it is a member, but its list of peers differs; restart it, then see its consensus"
        words += " state in /cluster"
    else:
        words = "it probably lost its disk and restarted empty, while the others still list"
        words += f" {'its old id' if old is None else f'it as {old}'}; stop it, wipe its disk,"
        words += " forget the old id, and start it with --bootstrap"
        words += f" {others[0] if others else 'the address of another peer'}"
    return Finding(
        kind="fallen_out",
        severity="error",
        what=f"peer {peer}{where} fell out of the cluster: it knows the peers {_ids(seen)}, the"
        f" others {_ids(facts.members)}; {words}",
        fix="" if old is None else fixes.forget(old, force=_holds(facts, old)),
    )


def _silent(facts: Facts, peer: PeerId) -> Finding:
    uri = facts.addresses.get(peer)
    return Finding(
        kind="silent_peer",
        severity="error",
        what=f"peer {peer}{f' at {uri}' if uri else ''} is listed but does not answer: start it and"
        " its agent; if the peer or its disk is gone for good, forget it",
        fix=fixes.forget(peer, force=_holds(facts, peer)),
    )


def _holds(facts: Facts, peer: PeerId) -> bool:
    return any(r.peer_id == peer for entry in facts.collections for r in entry.replicas)


def _agent_of(facts: Facts, peer: PeerId) -> str:
    return next((f" (agent {one.name})" for one in facts.agents if one.peer_id == peer), "")


def _ids(peers: tuple[PeerId, ...]) -> str:
    return ", ".join(str(peer) for peer in peers)


def _agents(facts: Facts) -> Iterator[Finding]:
    covered = {agent.peer_id for agent in facts.agents}
    for peer in facts.peers:
        if peer.peer_id not in covered:
            yield Finding(
                kind="no_agent",
                severity="error",
                what=f"peer {peer.peer_id} at {peer.url} has no connected agent: its shards can be"
                " neither backed up nor restored; start one",
            )
    yield from (_without_qdrant(agent) for agent in facts.agents if agent.peer_id is None)


def _without_qdrant(agent: AgentReport) -> Finding:
    return Finding(
        kind="agent_without_qdrant",
        severity="error",
        what=f"agent {agent.name}: its Qdrant at {agent.url or 'an unknown address'} does not"
        " answer; start it. If its log says that its address is already used by a peer, it lost"
        " its disk: forget the id that the log names",
    )


def _hidden(facts: Facts) -> Iterator[Finding]:
    """Qdrant lets an alias be renamed to the name of a collection, which nothing can read then.

    Source: lib/storage/src/content_manager/toc/collection_meta_ops.rs (RenameAlias), Qdrant 1.18.3
    """
    aliases = facts.aliases
    for name in sorted({one for told in facts.peers for one in told.collections} & set(aliases)):
        rename = {"old_alias_name": name, "new_alias_name": f"{name}-alias"}
        yield Finding(
            kind="hidden_collection",
            severity="error",
            what=f"an alias to {aliases[name]!r} has taken the name of the collection {name!r},"
            " which can be neither read nor backed up: rename the alias, and in what uses it",
            fix=fixes.change_aliases(facts.url, {"rename_alias": rename}),
        )


# Shards and their replicas


def _shards(facts: Facts) -> Iterator[Finding]:
    """Lost, inactive, idle and missing replicas; transfers and resharding under way."""
    for entry in facts.collections:
        yield from _lost(facts, entry)
        yield from _inactive(facts, entry)
        yield from _idle(facts, entry)
        yield from _few(facts, entry)
        yield from _moving(entry)


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
        fix = "" if epoch is None else fixes.repair(epoch, entry.name, shards)
        yield Finding(kind="lost_shard", severity="error", what=what, fix=fix)


def _inactive(facts: Facts, entry: LiveShards) -> Iterator[Finding]:
    fresh = []
    for shard in entry.shard_ids:
        replicas = entry.of(shard)
        if not replicas or any(r.state == ACTIVE for r in replicas):
            continue
        if facts.restoring and all(r.state == INITIALIZING for r in replicas):
            fresh.append(shard)
            continue
        where = ", ".join(f"peer {r.peer_id} ({r.state})" for r in replicas)
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
            fix=f"cleancut restore watch {facts.restoring}",
        )


def _idle(facts: Facts, entry: LiveShards) -> Iterator[Finding]:
    moving = {(t.shard_id, t.target) for t in entry.transfers}
    for replica in entry.replicas:
        active = [r.peer_id for r in entry.of(replica.shard_id) if r.state == ACTIVE]
        idle = (replica.shard_id, replica.peer_id) not in moving
        if replica.state in {ACTIVE, "Listener"} or not active or not idle:
            continue
        yield _replica(facts, entry, replica, source=min(active))


def _replica(facts: Facts, entry: LiveShards, replica: ReplicaView, *, source: int) -> Finding:
    heard = replica.peer_id in facts.heard
    words = "no transfer repairs it; copy it again" if heard else "its peer does not answer"
    fix = fixes.copy_replica(
        facts.url, entry.name, replica.shard_id, source=source, target=replica.peer_id
    )
    return Finding(
        kind="idle_replica",
        severity="warning",
        what=f"the replica of shard {replica.shard_id} of {entry.name!r} at peer"
        f" {replica.peer_id} is {replica.state}; {words}",
        fix=fix if heard else "",
    )


def _few(facts: Facts, entry: LiveShards) -> Iterator[Finding]:
    wanted = min(entry.replication_factor, len(facts.members))
    moving = {transfer.shard_id for transfer in entry.transfers}
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
            fix="cleancut cluster rebalance",
        )


def _moving(entry: LiveShards) -> Iterator[Finding]:
    for transfer in entry.transfers:
        yield Finding(
            kind="transfer",
            severity="info",
            what=f"shard {transfer.shard_id} of {entry.name!r} is on its way from peer"
            f" {transfer.source} to peer {transfer.target}",
        )
    if entry.resharding:
        yield Finding(
            kind="resharding",
            severity="info",
            what=f"the shard number of {entry.name!r} is being changed; backups wait for its end",
        )


def shards_named(shards: Sequence[int]) -> str:
    """`shard 3`, or `shards 0, 3`."""
    if len(shards) == 1:
        return f"shard {shards[0]}"
    return "shards " + ", ".join(str(shard) for shard in shards)


# Aliases, fences, leftovers, the store


def _aliases(facts: Facts) -> Iterator[Finding]:
    expected = facts.aliases
    for peer in facts.peers:
        if peer.ids != facts.members or dict(peer.aliases) == expected:
            continue
        differing = sorted(
            alias
            for alias in {*expected, *dict(peer.aliases)}
            if expected.get(alias) != dict(peer.aliases).get(alias)
        )
        yield Finding(
            kind="unequal_aliases",
            severity="warning",
            what=f"aliases of peer {peer.peer_id} at {peer.url} differ from those at {facts.url}:"
            f" {', '.join(map(repr, differing))}; it may lag: check again, then restart it",
        )


def _fences(facts: Facts) -> Iterator[Finding]:
    aliases, names = facts.aliases, {entry.name for entry in facts.collections}
    for alias, base, epoch in leftover_fences(aliases):
        if epoch == facts.open_fence:
            continue
        fix = ""
        what = f"alias {base!r} is still fenced as {alias!r}, so writes by it fail"
        if base in names:
            what += "; a collection has taken the name: rename the alias by hand"
        elif base in aliases:
            what += f"; it exists again and points to {aliases[base]!r}: delete the fence"
            fix = fixes.change_aliases(facts.url, {"delete_alias": {"alias_name": alias}})
        else:
            rename = {"old_alias_name": alias, "new_alias_name": base}
            fix = fixes.change_aliases(facts.url, {"rename_alias": rename})
        yield Finding(kind="stray_fence", severity="error", what=what, fix=fix)


def _restores(facts: Facts) -> Iterator[Finding]:
    for one in facts.restores:
        if one.state is State.NEEDS_OPERATOR:
            hint = f"; {one.hint}" if one.hint else ""
            yield Finding(
                kind="needs_operator",
                severity="warning",
                what=f"restore {one.id} needs an operator: {one.message}{hint}",
                fix=f"cleancut restore show {one.id}",
            )


def _leftovers(facts: Facts) -> Iterator[Finding]:
    kept = {
        name: one.id
        for one in facts.restores
        if one.state is State.DONE
        for name, uuid in one.kept
        if any((entry.name, entry.uuid) == (name, uuid) for entry in facts.collections)
    }
    states = {str(one.id): one.state for one in facts.restores}
    used = set(facts.aliases.values())
    for name in sorted(entry.name for entry in facts.collections if entry.name not in used):
        restore = restore_of(name)
        if name in kept:
            yield Finding(
                kind="kept",
                severity="info",
                what=f"{name!r} is the old data that restore {kept[name]} replaced",
                fix=fixes.clean(kept[name]),
            )
        elif restore and states.get(restore, State.DONE) in FINAL_STATES:
            known = restore in states
            yield Finding(
                kind="leftover",
                severity="warning",
                what=f"{name!r} was made by restore {restore}"
                f" ({states[restore] if known else 'long over'}), and no alias points"
                " to it: delete it, unless somebody reads it by that name",
                fix=fixes.delete_collection(facts.url, name),
            )


def _identity(facts: Facts) -> Iterator[Finding]:
    if facts.owner_id is None:
        yield Finding(
            kind="store_away",
            severity="error",
            what="the store does not answer; look at --store and its credentials",
        )
    elif facts.cluster_id and facts.owner_id != facts.cluster_id:
        yield Finding(
            kind="foreign_store",
            severity="error",
            what=f"the store belongs to another cluster ({facts.owner_id[:8] or 'unknown'}), this"
            f" one is {facts.cluster_id[:8]}: backups are refused. Make sure that no other cluster"
            " uses it, then take it over",
            fix="cleancut adopt",
        )
