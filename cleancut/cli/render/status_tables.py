"""Status of a cluster: facts in a few lines, and the details of `-o wide`."""

from __future__ import annotations

from rich.console import Group, RenderableType

from cleancut.api.cluster import ClusterStatus
from cleancut.api.protection import CollectionProtection
from cleancut.api.status import Status
from cleancut.api.values import to_value
from cleancut.cli.render.cluster_tables import cluster_details, fence_words, reachable
from cleancut.cli.render.grids import facts, grid
from cleancut.cli.render.times import ago, clock
from cleancut.core.primitives.durations import rough_duration


def status_facts(value: Status, now_s: float) -> RenderableType:
    """Leader and standbys, what runs and what is next, agents, store; and what is not known."""
    live, store = bool(value.coordinators), value.store
    standby = ", ".join(one.name for one in value.coordinators if not one.leader)
    return facts(
        (
            ("cluster", value.cluster),
            ("leader", (value.leader or "none") if live else None),
            ("standby", (standby or "none") if live else None),
            ("running", _running(value) if live else None),
            ("check", _check(value, now_s)),
            ("fence", value.open_fence and fence_words(value.open_fence)),
            ("next", _next(value, now_s) if live else None),
            ("agents", _agents(value) if live else None),
            ("store", store and f"{store.url} ({reachable(store.reachable)})"),
            ("backups", store.backups if store and store.reachable else None),
            *(("not known", text) for text in value.unknown),
        )
    )


def status_details(value: Status) -> RenderableType:
    """Owner, warnings, coordinators, agents, and the collections with their newest backups."""
    parts: list[RenderableType] = [""]
    if value.coordinators:
        parts += [*cluster_details(to_value(ClusterStatus, value)), ""]
    return Group(*parts, _collections(value))


def _running(value: Status) -> str:
    one = value.open_operation
    if one is None:
        return "nothing"
    name = f"#{one.epoch}" if one.kind == "backup" and one.epoch else one.id
    return f"{one.kind} {name} ({one.phase.lower()})" if one.phase else f"{one.kind} {name}"


def _check(value: Status, now_s: float) -> str | None:
    one = value.open_check
    if one is None:
        return None
    by = f", asked by {one.asked_by}" if one.asked_by else ""
    return f"{one.kind} of backup {one.backup}, begun {ago(one.began_at, now_s)}{by}"


def _next(value: Status, now_s: float) -> str:
    one = value.next_operation
    if one is None:
        return "nothing is scheduled"
    return f"{one.schedule} ({one.do}) {ago(one.at, now_s)}, {clock(one.at)}"


def _agents(value: Status) -> str:
    able = [one for one in value.agents if one.peer_id is not None or one.qdrant_version]
    names = ", ".join(one.name for one in value.agents) or "none"
    if len(able) == len(value.agents):
        return f"{len(value.agents)}: {names}" if value.agents else names
    return f"{len(able)} of {len(value.agents)} can use their Qdrant: {names}"


def _collections(value: Status) -> RenderableType:
    return grid(
        ("COLLECTION", "PROTECTED", "NEWEST", "AGE", "AT MOST", "SCHEDULE"),
        (
            (
                one.name,
                _verdict(one),
                one.backup or None,
                rough_duration(one.age_s) if one.backup else None,
                rough_duration(one.limit_s),
                one.schedule,
            )
            for one in value.protection.collections
        ),
        fold=("COLLECTION",),
    )


def _verdict(one: CollectionProtection) -> str:
    if one.excluded:
        return "excluded"
    return "yes" if one.protected else ("damaged" if one.damaged else "no")
