"""Status of a cluster of which all is well, as the API in memory answers."""

from __future__ import annotations

from cleancut.api.cluster import AgentStatus, CoordinatorStatus
from cleancut.api.protection import Protection

COORDINATORS = (CoordinatorStatus(name="co-0", leader=True, version="0.1.0"),)
AGENTS = (AgentStatus(name="node-0", peer_id=7, qdrant_version="1.18.3"),)
PROTECTED = Protection(
    protected=True,
    reason="all 2 collections have a recent whole backup",
    summary="Protected: all 2 collections have a recent whole backup; never restore-tested",
    known=True,
)
