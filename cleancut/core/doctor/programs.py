"""Programs: coordinators and agents, their rights, versions and standbys, and what agents found of
their peers. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.doctor import fixes
from cleancut.core.doctor.facts import Facts, Finding, Fix, Severity
from cleancut.core.primitives.ids import AgentName

_SEVERITIES: dict[str, Severity] = {
    "consensus_stopped": "error",
    "no_restore_rights": "error",
    "no_read_rights": "error",
    "store_refused": "error",
    "red_shard": "error",
    "recovery_mode": "error",
    "unloaded_shard": "error",
    "disk_low": "warning",
    "grey_shard": "info",
    "restore_by_upload": "info",
}
_GIVE_DISK = Fix(what="give the agent its peer's data directory, on a local disk, read-only")
_STEPS = {
    "consensus_stopped": "see the log of this Qdrant for the entry that stopped it, then restart"
    " the peer",
    "no_restore_rights": "give the agent an API key with manage access",
    "no_read_rights": "give the agent an API key that may read everything",
    "store_refused": "correct --store and its credentials at this agent",
    "red_shard": "see the log of this Qdrant: the failed operation is in it",
    "recovery_mode": "remove the cause, often a lack of memory or disk, then restart the peer"
    " without QDRANT__STORAGE__RECOVERY_MODE",
    "unloaded_shard": "see the log of this Qdrant for the cause; a shard without another replica is"
    " repaired with `restore start --only-shard`",
    "disk_low": "free some space, or grow the disk",
    "restore_by_upload": "keep room for the largest shard in its snapshots directory",
}


def find_programs(facts: Facts) -> Iterator[Finding]:
    yield from _coordinators(facts)
    yield from _concerns(facts)
    yield from _disks(facts)
    yield from _versions(facts)
    yield from _notifications(facts)


def _coordinators(facts: Facts) -> Iterator[Finding]:
    """The coordinators' own rights and reach: agents may see what a coordinator does not."""
    for one in facts.refusals:
        yield Finding(
            kind="qdrant_refuses",
            severity="error",
            what=f"the coordinator cannot rely on Qdrant at {one.url}: {one.message}",
            fixes=(
                Fix(fixes.look(one.url), what="correct the coordinators' API key or --qdrant-url"),
            ),
        )
    if not facts.peers and not facts.refusals and facts.heard:
        yield Finding(
            kind="coordinator_without_qdrant",
            severity="error",
            what="no peer answers the coordinator, although agents hear theirs: no backup can be"
            " made; correct the coordinators' --qdrant-url",
        )
    if len(facts.coordinators) == 1 and not facts.alone:
        yield Finding(
            kind="no_standby",
            severity="info",
            what=f"coordinator {facts.coordinators[0][0]} is the only one: start another on a"
            " different machine, which takes over when it ends",
        )
    if facts.api_open:
        yield Finding(
            kind="api_open",
            severity="warning",
            what="everyone who reaches the coordinators' API may do everything: set [roles] or"
            " --tokens-file",
        )


def _notifications(facts: Facts) -> Iterator[Finding]:
    for one in facts.unnotified:
        minutes = max(0.0, facts.now_s - one.since_s) / 60
        yield Finding(
            kind="notify_failing",
            severity="warning",
            what=f"[notify.{one.name}] has not been notified for {minutes:.0f} min: {one.why};"
            f" events that wait: {one.pending}",
            fixes=(Fix(what="correct its URL or token, or the receiver"),),
        )


def _concerns(facts: Facts) -> Iterator[Finding]:
    stopped = {peer.peer_id for peer in facts.peers if peer.consensus}
    for peer in facts.peers:
        if peer.consensus:
            yield _finding(
                "consensus_stopped",
                f"{facts.named(peer.peer_id)} at {peer.url}: its consensus thread has"
                f" {peer.consensus}: no collection can be created, restored or moved",
                peer.url,
            )
    for agent in facts.agents:
        for one in agent.concerns:
            if one.kind != "consensus_stopped" or agent.peer_id not in stopped:
                yield _finding(one.kind, f"agent {agent.name}: {one.what}", agent.url)


def _disks(facts: Facts) -> Iterator[Finding]:
    """Agents that read no logs, or capture no files, from their disk; one for each reason, and one
    where it is the same for both."""
    logs = {agent.name: agent.wal for agent in facts.agents if agent.wal}
    for reason, names in _by_reason(logs):
        what = f"snapshots only, no logs of shards, are read by {names}: {reason}"
        yield Finding(kind="snapshots_only", severity="info", what=what, fixes=(_GIVE_DISK,))
    files = {
        agent.name: agent.capture
        for agent in facts.agents
        if agent.capture and agent.capture != agent.wal
    }
    for reason, names in _by_reason(files):
        what = f"Qdrant streams all bytes of all changed shards to {names}: {reason}"
        yield Finding(kind="streams_only", severity="info", what=what, fixes=(_GIVE_DISK,))


def _by_reason(reasons: dict[AgentName, str]) -> list[tuple[str, str]]:
    """Reasons, and the agents that have each of them."""
    found: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        found.setdefault(reason, []).append(name)
    return [(reason, ", ".join(sorted(names))) for reason, names in sorted(found.items())]


def _finding(kind: str, what: str, url: str) -> Finding:
    step = _STEPS.get(kind, "")
    command = fixes.look(url) if kind == "consensus_stopped" and url else ""
    return Finding(
        kind=kind,
        severity=_SEVERITIES.get(kind, "warning"),
        what=what,
        fixes=(Fix(command, what=step),) if step else (),
    )


def _versions(facts: Facts) -> Iterator[Finding]:
    versions: dict[str, list[str]] = {}
    for name, version in facts.coordinators:
        versions.setdefault(version, []).append(f"coordinator {name}")
    for agent in facts.agents:
        versions.setdefault(agent.version, []).append(f"agent {agent.name}")
    versions.pop("", None)
    if len(versions) > 1:
        parts = [f"{version}: {', '.join(names)}" for version, names in sorted(versions.items())]
        yield Finding(
            kind="mixed_versions",
            severity="warning",
            what=f"agents and coordinators run different versions ({'; '.join(parts)})",
            fixes=(Fix(what="upgrade them to one version"),),
        )
