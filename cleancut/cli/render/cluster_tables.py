"""Tables of the cluster: its status, the owner of its store, and the agents' settings."""

from __future__ import annotations

from rich.console import Group, RenderableType

from cleancut.api.cluster import AgentSettings, AgentStatus, ClusterStatus, Identity, OpenFence
from cleancut.cli.render.grids import facts, grid, size


def cluster(value: ClusterStatus) -> RenderableType:
    opened, store = value.open_operation, value.store
    head = facts(
        (
            ("cluster", value.cluster),
            ("leader", value.leader or "none"),
            ("open operation", opened and f"{opened.kind} {opened.id} ({opened.phase})"),
            ("open fence", value.open_fence and _open_fence(value.open_fence)),
            ("store", store and f"{store.url} ({_reachable(store.reachable)})"),
            ("backups", store and store.backups),
            ("owner", value.identity and _owner(value.identity)),
            *(("warning", text) for text in value.warnings),
        )
    )
    coordinators = grid(
        ("COORDINATOR", "ADDRESS", "LEADER", "VERSION"),
        ((one.name, one.address, _yes(one.leader), one.version) for one in value.coordinators),
    )
    agents = grid(
        ("AGENT", "PEER", "QDRANT", "READS", "PHASE", "VERSION"),
        (
            (one.name, one.peer_id, one.qdrant_version, _reads(one), one.phase, one.version)
            for one in value.agents
        ),
    )
    return Group(head, "", coordinators, "", agents)


def identity(value: Identity) -> RenderableType:
    return facts((("cluster id", value.cluster_id), ("owner", _owner(value))))


def settings(value: AgentSettings) -> RenderableType:
    return facts(
        (
            ("upload rate", _rate(value.upload_bytes_per_s)),
            ("read rate", _rate(value.read_bytes_per_s)),
            ("uploads", value.uploads),
            ("spill limit", size(value.spill_bytes or 0)),
            ("spill floor", size(value.spill_floor_bytes or 0)),
        )
    )


def _rate(value: int | None) -> str:
    return f"{size(value)}/s" if value else "no limit"


def _owner(value: Identity) -> str:
    if value.equal:
        return "this cluster"
    return f"another cluster: {value.store_cluster_id}" if value.store_cluster_id else "none"


def _open_fence(value: OpenFence) -> str:
    names = ", ".join((*value.aliases, *value.collections))
    return f"{names} (epoch {value.epoch}, {value.budget_s:g} s at most)"


def _reachable(value: bool) -> str:
    return "reachable" if value else "unreachable"


def _reads(agent: AgentStatus) -> str:
    """Logs, if it follows them, and files, if it captures segments from the disk."""
    if agent.snapshots_only is None:
        return "unknown"
    logs = "" if agent.snapshots_only else ", logs"
    return "snapshots" + logs + (", files" if agent.streams_only == "" else "")


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else ("yes" if value else "no")
