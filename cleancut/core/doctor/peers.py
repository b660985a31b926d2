"""Peers and agents: those that fell out of the cluster, do not answer, or have no partner. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from cleancut.core.doctor import fixes
from cleancut.core.doctor.facts import AgentReport, Facts, Finding, Fix, LocalShard, PeerReport
from cleancut.core.doctor.silence import silent_s
from cleancut.core.primitives.ids import PeerId

_SHOWN = 20
"""Shards named in one finding."""


def find_peers(facts: Facts) -> Iterator[Finding]:
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
        old = old_id(facts, peer)
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


def old_id(facts: Facts, peer: PeerId) -> PeerId | None:
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
    report = next((one for one in facts.peers if one.peer_id == peer), None)
    head = f"{facts.named(peer)} fell out of the cluster: it knows the peers"
    head += f" {_ids(seen)}, the others {_ids(facts.members)}; "
    if peer in facts.members:
        words = "it is a member, but its list of peers differs; restart it, then see its consensus"
        words += " state in /cluster"
        steps = tuple(_look_at(facts, peer))
    else:
        unique = facts.unique_on(report) if report is not None else ()
        words = _disk_of(facts, report, unique)
        steps = tuple(_rejoin(facts, peer, old, report=report, unique=unique))
    return Finding(kind="fallen_out", severity="error", what=head + words, fixes=steps)


def _disk_of(facts: Facts, report: PeerReport | None, unique: tuple[LocalShard, ...]) -> str:
    """What is known of the disk of a peer that is not a member."""
    if report is None or report.local is None:
        return "what its disk holds is unknown: look before anything is wiped"
    if unique:
        shards = _named([(one.collection, one.shard_id) for one in unique])
        return f"it holds what no other peer has ({shards}): copy this first"
    if any(one.points != 0 for one in report.local):
        return "everything on its disk is on other peers too"
    return "its disk holds no points, so it probably lost its disk and restarted empty"


def _rejoin(
    facts: Facts,
    peer: PeerId,
    old: PeerId | None,
    *,
    report: PeerReport | None,
    unique: tuple[LocalShard, ...],
) -> Iterator[Fix]:
    """Look, copy what is nowhere else, and only then wipe the disk and bootstrap."""
    yield from _look_at(facts, peer)
    for one in unique:
        yield Fix(
            fixes.copy_shard(report.url if report else "", one.collection, one.shard_id),
            what=f"copy shard {one.shard_id} of {one.collection!r}"
            f" ({'not counted' if one.points is None else f'{one.points} points'})",
        )
    others = sorted(uri for one, uri in facts.addresses.items() if one not in {peer, old})
    join = others[0] if others else "the address of another peer"
    unknown = report is None or report.local is None
    first = "only once every shard is copied: " if unique or unknown else ""
    words = f"{first}stop the peer, wipe its disk,"
    words += f" forget its old id{'' if old is None else f' {old}'}, and start it with"
    words += f" --bootstrap {join}"
    loses = f"; {_lost_with(facts, old)}" if old is not None and facts.holds(old) else ""
    yield Fix(
        "" if old is None else fixes.forget(old, force=facts.holds(old)),
        "loses-data",
        words + loses,
    )


def _silent(facts: Facts, peer: PeerId) -> Finding:
    uri, accepting = facts.addresses.get(peer), peer in facts.accepting
    since = _since(facts, peer)
    what = f"{facts.named(peer)}{f' at {uri}' if uri else ''} is listed but does not answer"
    what += f" (silent since {since})" if since else " (since when is not known)"
    if accepting:
        what += "; its address accepts connections, so its process exists and hangs or is starting"
    agent = _last_agent(facts, peer)
    start = "see its log and restart it" if accepting else "start it"
    start += f", and its agent{f' {agent}' if agent else ''}"
    safe = [replace(one, what=f"{one.what}, then {start}") for one in _look_at(facts, peer)]
    gone = Fix(
        fixes.forget(peer, force=facts.holds(peer)),
        "loses-data",
        f"only if its disk is gone for good: {_lost_with(facts, peer)}"
        + (f"; silent since {since}" if since else ""),
    )
    return Finding(kind="silent_peer", severity="error", what=what, fixes=(*safe, gone))


def _look_at(facts: Facts, peer: PeerId) -> Iterator[Fix]:
    """The safe first step: the peer's own answer, where it was reached last."""
    url = next((one.url for one in facts.peers if one.peer_id == peer), "")
    url = url or next((one.url for one in facts.agents if one.peer_id == peer), "")
    url = url or next((url for one, url, _ in _places(facts) if one == peer), "")
    yield Fix(fixes.look(url) if url else "cleancut status", what="look at it")


def _last_agent(facts: Facts, peer: PeerId) -> str:
    return next((name for one, _, name in _places(facts) if one == peer), "")


def _places(facts: Facts) -> tuple[tuple[PeerId, str, str], ...]:
    return facts.seen.urls if facts.seen is not None else ()


def _since(facts: Facts, peer: PeerId) -> str:
    silence_s = silent_s(facts.seen, peer, facts.now_s)
    if not silence_s:
        return ""
    at = datetime.fromtimestamp(facts.now_s - silence_s, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%SZ}, {round(silence_s / 60)} min"


def _lost_with(facts: Facts, peer: PeerId) -> str:
    """What the cluster loses if this peer is given up, and which backup holds it."""
    only = facts.only_at(peer)
    if not only:
        return "no shard is only there" if facts.holds(peer) else "it holds no replicas"
    words = f"{_named(only)} would be lost"
    held = {shard: facts.holder(*shard) for shard in only}
    without = [shard for shard, epoch in held.items() if epoch is None]
    if without:
        return f"{words}; no backup holds {_named(without)}"
    epochs = sorted({epoch for epoch in held.values() if epoch is not None})
    return f"{words}; newest backups: {', '.join(f'#{epoch}' for epoch in epochs)}"


def _named(shards: Sequence[tuple[str, int]]) -> str:
    shown = ", ".join(f"shard {shard} of {name!r}" for name, shard in shards[:_SHOWN])
    more = len(shards) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _ids(peers: tuple[PeerId, ...]) -> str:
    return ", ".join(str(peer) for peer in peers)


def find_agents(facts: Facts) -> Iterator[Finding]:
    """Peers without an agent, and agents without a peer."""
    covered = {agent.peer_id for agent in facts.agents}
    for peer in facts.peers:
        if peer.peer_id not in covered:
            yield Finding(
                kind="no_agent",
                severity="error",
                what=f"{facts.named(peer.peer_id)} at {peer.url} has no connected agent: its"
                " shards can be neither backed up nor restored",
                fixes=(Fix(what="start an agent next to this peer"),),
            )
    yield from (_without_qdrant(agent) for agent in facts.agents if agent.peer_id is None)
    for shared in sorted(one for one in covered if one is not None):
        sharing = sorted(agent.name for agent in facts.agents if agent.peer_id == shared)
        if len(sharing) > 1:
            yield Finding(
                kind="shared_peer",
                severity="error",
                what=f"agents {', '.join(sharing)} all have peer {shared} at --qdrant-url: only"
                " one of them is used, and another peer may have none",
                fixes=(
                    Fix(
                        what="give each agent the URL of the local peer, not of another one, of a"
                        " load balancer or of a service with several peers"
                    ),
                ),
            )


def _without_qdrant(agent: AgentReport) -> Finding:
    url = agent.url or "an unknown address"
    if agent.problem:
        what = f"agent {agent.name} cannot use its Qdrant at {url}: {agent.problem}"
    else:
        what = f"agent {agent.name}: its Qdrant at {url} does not answer"
    return Finding(
        kind="agent_without_qdrant",
        severity="error",
        what=what,
        fixes=(
            Fix(
                fixes.look(agent.url) if agent.url else "",
                what="look at it and start it; if its log says that its address is already used by"
                " a peer, it lost its disk: see the peer with the id that the log names",
            ),
        ),
    )
