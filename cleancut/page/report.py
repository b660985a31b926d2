"""Report of a store: the pages of its backups as one file, without a script and from the store
alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cleancut.api.backups import Backup
from cleancut.api.operations import Operation
from cleancut.core.format.timeline import Timeline
from cleancut.page.growth import growth_of
from cleancut.page.matrix import matrix_of, newest_checks
from cleancut.page.render import render
from cleancut.page.seen import Seen
from cleancut.page.strip import strips
from cleancut.page.views import headline_of, peer_names, verdict_of

MOST = 500
DETAILS = 10
"""Backups that are listed, and the newest of them that are shown with their evidence."""
_OPERATIONS = 20
"""Of each other kind, the newest."""


def report_of(seen: Seen, details: Sequence[tuple[Backup, Timeline]], store: str) -> str:
    """One HTML document. `details`: backups with their shards, newest first. `store`: its URL,
    without credentials."""
    shown = {one.epoch for one, _ in details}

    def href(name: object) -> str:
        return f"#backup-{name}" if name in shown else ""

    return render(
        "report.html",
        seen.at_s,
        seen=seen,
        details=details,
        store=store,
        headline=headline_of(seen),
        verdict=verdict_of(seen),
        strips=strips(seen.backups, seen.schedules, seen.at_s),
        matrix=matrix_of(seen.backups, seen.checks),
        checked=newest_checks(seen.checks),
        growth=growth_of(seen.backups),
        operations=_operations(seen),
        peer_names=peer_names(seen),
        most=MOST,
        href=href,
    )


def _operations(seen: Seen) -> list[tuple[str, Sequence[Operation], str]]:
    """Titles of the kinds that there are, with the newest of each and their template."""
    kinds: list[tuple[str, Sequence[Operation]]] = [
        ("Restores", seen.restores),
        ("Rebalances", seen.rebalances),
        ("Reshards", seen.reshards),
        ("Undeletes", seen.undeletes),
    ]
    return [
        (title, rows[:_OPERATIONS], f"live_{title.lower()}.html") for title, rows in kinds if rows
    ]
