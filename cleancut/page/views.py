"""Views: what each page shows of what was seen, for its template and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec

from cleancut.api.backups import Backup
from cleancut.api.operations import Operation
from cleancut.api.state_words import Word, state_of
from cleancut.api.status import Status, status_of
from cleancut.api.values import SCHEMA
from cleancut.core.format.timeline import Timeline
from cleancut.core.primitives.numbers import whole_number
from cleancut.core.primitives.timestamps import format_second
from cleancut.core.protocol.states import IN_CATALOG, State
from cleancut.page.growth import growth_of
from cleancut.page.matrix import matrix_of, newest_checks
from cleancut.page.routes import (
    AUDIT,
    BACKUPS,
    CLUSTER,
    GROWTH,
    MANIFEST,
    NOW,
    REBALANCES,
    RESHARDS,
    RESTORES,
    UNDELETES,
    VERIFICATION,
    Page,
)
from cleancut.page.seen import Seen
from cleancut.page.strip import strips

ON_A_PAGE = 50
_MOST_ON_A_PAGE = 1000


@dataclass(frozen=True, slots=True)
class View:
    """`body`, `live`: templates; the live part is sent again whenever it changes, "" if nothing
    moves. `json`: the document without its schema, in the shapes of the command line."""

    page: Page
    title: str
    body: str
    values: Mapping[str, Any]
    json: Mapping[str, Any]
    live: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where shards are. `collections`: by name and peer, the ids of the shards whose replicas are
    there. `shards`, `inactive`: by peer, how many replicas, and how many of them are not Active."""

    peers: tuple[int, ...]
    collections: Mapping[str, Mapping[int, Sequence[int]]]
    shards: Mapping[int, int]
    inactive: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Query:
    """The part of a list that is asked for."""

    number: int = 1
    state: str = ""
    schedule: str = ""
    collection: str = ""
    size: int = ON_A_PAGE

    @property
    def filters(self) -> str:
        """The query of the filters, ready to be continued; "" without any."""
        given = {"state": self.state, "schedule": self.schedule, "collection": self.collection}
        found = urlencode({name: value for name, value in given.items() if value})
        return f"{found}&" if found else ""

    def fits(self, backup: Backup) -> bool:
        """Whether the filters let a backup through."""
        return (
            (not self.state or state_of(backup) == self.state)
            and (not self.schedule or backup.schedule == self.schedule)
            and (not self.collection or backup.contains(self.collection))
        )


def query_of(given: Mapping[str, str]) -> Query:
    """Of a URL; what is not a number of a page is the first one."""
    size = whole_number(given.get("size", ""))
    return Query(
        number=max(1, whole_number(given.get("page", "")) or 1),
        state=given.get("state", ""),
        schedule=given.get("schedule", ""),
        collection=given.get("collection", ""),
        size=min(max(1, ON_A_PAGE if size is None else size), _MOST_ON_A_PAGE),
    )


def document(content: Mapping[str, Any]) -> bytes:
    """The JSON document, as the command line prints it."""
    whole = {"schema": SCHEMA, **msgspec.to_builtins(dict(content))}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def now(seen: Seen) -> View:
    return View(
        NOW,
        "Now",
        "now.html",
        {"seen": seen, "headline": headline_of(seen), "verdict": verdict_of(seen)},
        {"status": _status(seen), "running": seen.running},
        live="live_now.html",
    )


def _status(seen: Seen) -> Status | None:
    """As `cleancut status` prints it; None until all of it was read once."""
    if seen.status is None or seen.protection is None:
        return None
    return status_of(
        seen.status,
        seen.protection,
        schedules=seen.schedules,
        findings=seen.findings or (),
        unknown=seen.unread,
    )


def headline_of(seen: Seen) -> str:
    """The sentence that a page begins with: that of `cleancut status`."""
    return seen.protection.summary if seen.protection else "Not known: nothing was read yet"


def verdict_of(seen: Seen) -> str:
    """good | bad | unknown."""
    if seen.protection is None or not seen.protection.known:
        return "unknown"
    return "good" if seen.protection.protected else "bad"


def backups(seen: Seen, query: Query, now_s: float) -> View:
    chosen = [one for one in seen.backups if query.fits(one)]
    pages = max(1, -(-len(chosen) // query.size))
    number = min(query.number, pages)
    rows = chosen[(number - 1) * query.size : number * query.size]
    values = {
        "seen": seen,
        "strips": strips(seen.backups, seen.schedules, now_s, seen.due),
        "rows": rows,
        "wide_rows": True,
        "checked": newest_checks(seen.checks),
        "total": len(chosen),
        "number": number,
        "pages": pages,
        "query": query.filters,
        "state": query.state,
        "schedule": query.schedule,
        "collection": query.collection,
        "states": [one.value for one in Word],
        "names": sorted({one.schedule for one in seen.backups} - {""}),
    }
    content = {"backups": rows, "total": len(chosen), "page": number, "pages": pages}
    return View(BACKUPS, "Backups", "backups.html", values, content)


def backup(seen: Seen, one: Backup, timeline: Timeline) -> View:
    title = f"Backup #{one.epoch}" if one.epoch else f"Backup {one.id}"
    restorable = one.state in IN_CATALOG and one.state is not State.CORRUPT
    values = {
        "seen": seen,
        "one": one,
        "timeline": timeline,
        "restorable": restorable,
        "manifest": MANIFEST if one.state in IN_CATALOG else None,
    }
    return View(
        BACKUPS,
        title,
        "backup.html",
        values,
        {"backup": one, "timeline": timeline},
        live="live_backup.html",
    )


def restores(seen: Seen) -> View:
    return _operations(seen, RESTORES, "Restores", seen.restores)


def rebalances(seen: Seen) -> View:
    return _operations(seen, REBALANCES, "Rebalances", seen.rebalances)


def reshards(seen: Seen) -> View:
    return _operations(seen, RESHARDS, "Reshards", seen.reshards)


def undeletes(seen: Seen) -> View:
    return _operations(seen, UNDELETES, "Undeletes", seen.undeletes)


def _operations(seen: Seen, page: Page, title: str, rows: Sequence[Operation]) -> View:
    """Templates and JSON are named for the title."""
    name = title.lower()
    values = {"seen": seen, "rows": rows, "peer_names": peer_names(seen)}
    return View(page, title, f"{name}.html", values, {name: rows}, live=f"live_{name}.html")


def verification(seen: Seen) -> View:
    checks = [
        {"epoch": one.epoch, "at": format_second(one.at_s), "level": one.level, "good": one.good}
        for one in seen.checks
    ]
    values = {"seen": seen, "matrix": matrix_of(seen.backups, seen.checks)}
    content = {"checks": checks, "work": seen.work}
    return View(VERIFICATION, "Verification", "verification.html", values, content)


def growth(seen: Seen) -> View:
    found = growth_of(seen.backups)
    totals = {
        "protected": found.protected,
        "protected_all": found.protected_all,
        "stored": found.stored,
        "ratio": found.ratio,
        "added_per_day": found.per_day,
        "forecast": found.forecast,
    }
    points = [
        {
            "at": format_second(point.at_s),
            "epoch": point.epoch,
            "protected": point.protected_bytes,
            "stored": point.stored_bytes,
        }
        for point in found.points
    ]
    values = {"seen": seen, "growth": found}
    return View(GROWTH, "Growth", "growth.html", values, {"growth": {**totals, "points": points}})


def cluster(seen: Seen, placement: Placement | None) -> View:
    names = peer_names(seen)
    peers = sorted(placement.peers, key=lambda peer: names.get(peer, "~")) if placement else ()
    values = {"seen": seen, "placement": placement, "peers": peers, "peer_names": names}
    content = {
        "cluster": seen.status,
        "schedules": seen.schedules,
        "shards": placement.collections if placement else None,
    }
    return View(CLUSTER, "Cluster", "cluster.html", values, content)


def audit(seen: Seen, lines: Sequence[Mapping[str, Any]] | None) -> View:
    """`lines`: newest first; None: this coordinator keeps no file."""
    shown = None if lines is None else [_audit_row(line) for line in lines]
    return View(AUDIT, "Audit", "audit.html", {"seen": seen, "lines": shown}, {"lines": lines})


def _audit_row(line: Mapping[str, Any]) -> dict[str, str]:
    names = ("timestamp", "who", "how", "role", "method", "decision", "status")
    row = {name: str(line.get(name) or "") for name in names}
    return {**row, "request": msgspec.json.encode(line.get("request") or {}).decode()}


def peer_names(seen: Seen) -> dict[int, str]:
    """The agent of each peer: its name says more than 16 digits."""
    agents = seen.status.agents if seen.status else ()
    return {one.peer_id: one.name for one in agents if one.peer_id is not None}
