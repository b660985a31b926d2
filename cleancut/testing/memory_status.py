"""Status and settings of a cluster of which all is well, and evidence of its backups, as the API
in memory answers."""

from __future__ import annotations

from cleancut.api.backups import Evidence, ShardEvidence
from cleancut.api.cluster import AgentSettings, AgentStatus, CoordinatorStatus
from cleancut.api.protection import Protection
from cleancut.core.protocol.evidence import Consistency

COORDINATORS = (CoordinatorStatus(name="co-0", leader=True, version="0.1.0"),)
AGENTS = (AgentStatus(name="node-0", peer_id=7, qdrant_version="1.18.3"),)
SETTINGS = AgentSettings(
    upload_bytes_per_s=0,
    uploads=4,
    spill_bytes=1 << 32,
    spill_floor_bytes=1 << 29,
    read_bytes_per_s=0,
)
PROTECTED = Protection(
    protected=True,
    reason="all 2 collections have a recent whole backup",
    summary="Protected: all 2 collections have a recent whole backup; never restore-tested",
    known=True,
)
EVIDENCE = Evidence(
    consistency=Consistency.POINT_IN_TIME,
    skew_ms=41,
    shards=(
        ShardEvidence(
            collection="books",
            shard_id=0,
            peer_id=7,
            ops_before=5,
            ops_after=6,
            unchanged=True,
            points=3,
        ),
    ),
)
