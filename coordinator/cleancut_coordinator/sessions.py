"""Sessions of live agents, read from etcd."""

from __future__ import annotations

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.etcd_records import Session
from cleancut_coordinator.context import CoordinatorContext


async def read_sessions(context: CoordinatorContext) -> dict[AgentName, Session]:
    """All live sessions, by agent."""
    listing = await context.etcd.list(context.keys.sessions)
    sessions = [decode(Session, item.value, item.key) for item in listing.items]
    return {session.name: session for session in sessions}
