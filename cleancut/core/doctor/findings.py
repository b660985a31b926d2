"""What is wrong with a cluster, and the exact fix: a pure function of what there is to see.

Findings about shards are in `cleancut.core.doctor.shard_findings`.
"""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.cluster.restored_names import restore_of
from cleancut.core.doctor import fixes
from cleancut.core.doctor.facts import Facts, Finding, Severity, ToldByAgent
from cleancut.core.doctor.shard_findings import ailing_shards
from cleancut.core.primitives.ids import PeerId
from cleancut.core.protocol.fence import strays
from cleancut.core.protocol.states import FINAL_STATES, State

_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """Everything that is not as it should be; nothing for a healthy cluster.

    Order: errors, warnings, infos; in each what keeps others from being fixed comes first.
    """
    found = [
        *_peers(facts),
        *_agents(facts),
        *ailing_shards(facts),
        *_hidden(facts),
        *_aliases(facts),
        *_fences(facts),
        *_restores(facts),
        *_leftovers(facts),
        *_identity(facts),
    ]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


def _peers(facts: Facts) -> Iterator[Finding]:
    """Peers that fell out, and members that nobody hears."""
    if not facts.peers and not facts.heard:
        yield Finding(
            kind="no_peer",
            severity="error",
            what="no Qdrant peer answers, neither an agent nor the coordinator;"
            " start them, or correct the coordinator's --qdrant-url",
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
    told = next((one.ids for one in facts.peers if one.peer_id == peer), None)
    if told is not None:
        return told
    return next(tuple(sorted(one.peers)) for one in facts.agents if one.peer_id == peer)


def _old_id(facts: Facts, peer: PeerId) -> PeerId | None:
    """The member that this peer was before it lost its disk: the one with its address, else the
    only one that nobody hears."""
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
    where = _beside(facts, peer)
    others = sorted(uri for one, uri in facts.addresses.items() if one not in {peer, old})
    if peer in facts.members:
        words = "it is a member, and knows other peers than the others; restart it and look at"
        words += " its consensus state in /cluster"
    else:
        words = "it probably lost its disk and started anew, while the others still list"
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
        what=f"peer {peer}{f' at {uri}' if uri else ''} is listed, and no agent hears it: start it"
        " and the agent beside it; if it or its disk is gone for good, forget it",
        fix=fixes.forget(peer, force=_holds(facts, peer)),
    )


def _holds(facts: Facts, peer: PeerId) -> bool:
    return any(r.peer_id == peer for entry in facts.collections for r in entry.replicas)


def _beside(facts: Facts, peer: PeerId) -> str:
    return next((f" (agent {one.name})" for one in facts.agents if one.peer_id == peer), "")


def _ids(peers: tuple[PeerId, ...]) -> str:
    return ", ".join(str(peer) for peer in peers)


def _agents(facts: Facts) -> Iterator[Finding]:
    beside = {agent.peer_id for agent in facts.agents}
    for told in facts.peers:
        if told.peer_id not in beside:
            yield Finding(
                kind="no_agent",
                severity="error",
                what=f"peer {told.peer_id} at {told.url} answers, and no agent is connected beside"
                " it: its shards can be neither backed up nor restored; start one",
            )
    yield from (_without_qdrant(agent) for agent in facts.agents if agent.peer_id is None)


def _without_qdrant(agent: ToldByAgent) -> Finding:
    return Finding(
        kind="agent_without_qdrant",
        severity="error",
        what=f"agent {agent.name}: its Qdrant at {agent.url or 'an unknown address'} does not"
        " answer; start it, and if its log says that its address is already used by a peer, that"
        " one has lost its disk: forget the id that the log names",
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
            " which can be neither read nor backed up: rename the alias, and whoever uses it",
            fix=fixes.change_aliases(facts.url, {"rename_alias": rename}),
        )


def _aliases(facts: Facts) -> Iterator[Finding]:
    expected = facts.aliases
    for told in facts.peers:
        if told.ids != facts.members or dict(told.aliases) == expected:
            continue
        differing = sorted(
            alias
            for alias in {*expected, *dict(told.aliases)}
            if expected.get(alias) != dict(told.aliases).get(alias)
        )
        yield Finding(
            kind="unequal_aliases",
            severity="warning",
            what=f"peer {told.peer_id} at {told.url} tells other aliases than {facts.url}:"
            f" {', '.join(map(repr, differing))}; it may be behind: look again, then restart it",
        )


def _fences(facts: Facts) -> Iterator[Finding]:
    aliases, names = facts.aliases, {entry.name for entry in facts.collections}
    for alias, base, epoch in strays(aliases):
        if epoch == facts.open_fence:
            continue
        fix = ""
        what = f"alias {base!r} is still fenced as {alias!r}, so writes by it fail"
        if base in names:
            what += "; a collection has taken the name meanwhile: rename by hand"
        elif base in aliases:
            what += f"; it exists again and points to {aliases[base]!r}: the fence can go"
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
                what=f"{name!r} is the old data that restore {kept[name]} has replaced",
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
            what=f"the store belongs to another cluster ({facts.owner_id[:8] or 'nobody'}), this"
            f" one is {facts.cluster_id[:8]}: backups are refused. Make sure that no other cluster"
            " uses it, then take it over",
            fix="cleancut adopt",
        )
