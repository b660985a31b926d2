"""Reads the cluster that a restore's plan is made against."""

from __future__ import annotations

from collections.abc import Mapping

from cleancut.ids import AgentName, PeerId
from cleancut.records import Session, decode
from cleancut.target import Target, TargetPeer
from coordinator.context import Context
from coordinator.peers import ask_any


async def read_sessions(context: Context) -> dict[AgentName, Session]:
    """All live sessions, by agent."""
    listing = await context.etcd.list(context.keys.sessions)
    sessions = [decode(Session, item.value, item.key) for item in listing.items]
    return {session.name: session for session in sessions}


async def read_target(context: Context, members: Mapping[AgentName, int] | None = None) -> Target:
    """The cluster as any one peer tells it, with the agents beside its peers.

    `members`: who takes part, with the free bytes that each told; None: all that have a session.
    Raises: Unavailable.
    """
    cluster = await ask_any(context.peers, lambda peer: peer.cluster())
    collections = await ask_any(context.peers, lambda peer: peer.collections())
    aliases = await ask_any(context.peers, lambda peer: peer.aliases())
    sessions = (await read_sessions(context)).values()
    beside = {s.peer_id: s for s in sessions if members is None or s.name in members}
    return Target(
        peers=tuple(
            _target_peer(PeerId(peer), beside.get(PeerId(peer)), members or {})
            for peer in sorted(cluster.peers) or [0]
        ),
        collections=tuple(collections),
        aliases=tuple(sorted(aliases.items())),
    )


def _target_peer(
    peer_id: PeerId, session: Session | None, told: Mapping[AgentName, int]
) -> TargetPeer:
    if session is None:
        return TargetPeer(peer_id=peer_id)
    free = told.get(session.name, -1)
    return TargetPeer(
        peer_id=peer_id,
        agent=session.name,
        qdrant_version=session.qdrant_version,
        free_bytes=free if free >= 0 else None,
    )
