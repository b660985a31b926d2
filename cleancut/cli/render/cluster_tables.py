"""Tables of the cluster: its programs, the owner of its store, and the agents' settings."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from cleancut.api.cluster import AgentSettings, AgentStatus, ClusterStatus, Identity, OpenFence
from cleancut.cli.render.grids import facts, grid, size


def cluster_details(value: ClusterStatus) -> Iterator[RenderableType]:
    """Owner and warnings, coordinators, agents."""
    yield facts(
        (
            ("owner", value.identity and _owner(value.identity)),
            *(("warning", text) for text in value.warnings),
        )
    )
    yield ""
    yield grid(
        ("COORDINATOR", "ADDRESS", "LEADER", "VERSION"),
        ((one.name, one.address, _yes(one.leader), one.version) for one in value.coordinators),
    )
    yield ""
    yield grid(
        ("AGENT", "PEER", "QDRANT", "READS", "PHASE", "VERSION"),
        (
            (one.name, one.peer_id, one.qdrant_version, _reads(one), one.phase, one.version)
            for one in value.agents
        ),
    )


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


def fence_words(value: OpenFence) -> str:
    names = ", ".join((*value.aliases, *value.collections))
    return f"{names} (epoch {value.epoch}, {value.budget_s:g} s at most)"


def reachable(value: bool) -> str:
    return "reachable" if value else "unreachable"


def _reads(agent: AgentStatus) -> str:
    """Logs, if it follows them, and files, if it captures segments from the disk."""
    if agent.snapshots_only is None:
        return "unknown"
    logs = "" if agent.snapshots_only else ", logs"
    return "snapshots" + logs + (", files" if agent.streams_only == "" else "")


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else ("yes" if value else "no")
