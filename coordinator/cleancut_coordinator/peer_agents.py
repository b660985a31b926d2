"""Agents of peers, for people: those that are connected, and those that were."""

from __future__ import annotations

from cleancut.core.doctor.silence import SeenPeers
from cleancut.core.primitives.errors import Corrupt
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_record, read_sessions


async def read_peer_agents(context: CoordinatorContext) -> dict[int, str]:
    """By peer; an agent that is away counts as long as no other is next to its peer."""
    try:
        seen = await read_record(context, context.keys.seen_peers, SeenPeers)
    except Corrupt:
        seen = None
    agents: dict[int, str] = {int(peer): str(name) for peer, name in (seen.agents if seen else ())}
    sessions = (await read_sessions(context)).values()
    return agents | {int(one.peer_id): str(one.name) for one in sessions if one.peer_id is not None}
