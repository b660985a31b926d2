"""Nothing that is needed is ever deleted, and nothing that is not stays for ever."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from cleancut_coordinator.maintenance.garbage_collector import GarbageCollector
from tests.sim.sweeping import PATHS, Archive, Lost, play

SEEDS = int(os.environ.get("GC_SEEDS", "50"))
MUTANT_SEEDS = 400


def test_what_a_group_or_a_reader_needs_is_never_deleted() -> None:
    """Backups, aborts, deletions, gc runs, crashes, takeovers, frozen leaders that come back, and
    readers elsewhere with a hold, in any order."""
    archives = [asyncio.run(play(seed)) for seed in range(1, SEEDS + 1)]
    assert sum(archive.committed for archive in archives) > SEEDS
    assert sum(archive.deleted for archive in archives) > SEEDS
    assert sum(len(archive.sown) for archive in archives) > SEEDS / 2
    for archive in archives:
        assert garbage_in(archive) == []


def garbage_in(archive: Archive) -> list[str]:
    """Garbage lists, and recipes and pages that no group names, after the last gc run; and packs of
    seeds. A reader that was broken off has left its hold; a seed that a backup is awaited for keeps
    pages, and packs that it may reuse."""
    named = set()
    for path in archive.objects:
        hold = path.replace(PATHS.groups, PATHS.holds).replace(".json", "/")
        held = any(other.startswith(hold) for other in archive.objects)
        stone = path.replace(".json", ".deleted")
        lives = held or stone not in archive.objects
        if lives and path.startswith(PATHS.groups) and path.endswith(".json"):
            named |= archive.named_in(path)
    waits = any(path.startswith(PATHS.seeds) for path in archive.objects)
    kinds = ("recipes", "gc") if waits else ("recipes", "pages", "gc")
    sown = {path for left in archive.sown.values() for path in left if "/packs/" in path}
    return [
        path
        for path in archive.objects
        if (path.split("/")[1] in kinds and path.rpartition("/")[2] not in named)
        or (path in sown and not waits and path.removeprefix(PATHS.pack("")) not in named)
    ]


async def _nothing_unknown(*_args: Any) -> frozenset[str]:
    return frozenset()


class Hasty(GarbageCollector):
    """Sees no epoch that is under way."""

    async def _open_epoch(self) -> None:
        return None


class Blind(GarbageCollector):
    """Deletes all that was marked for deletion, without a second look."""

    async def _deletable(self, lists: Any) -> Any:
        found = await super()._deletable(lists)
        objects = [pair for one in lists.values() for pair in one.garbage.objects]
        return type(found)(objects=tuple(objects))


class Careless(GarbageCollector):
    """Knows of no seeds."""

    async def _living(self, gone: Any) -> Any:
        return (await super()._living(gone))._replace(seeds=frozenset())


MUTANTS: dict[str, tuple[int, dict[str, Any]]] = {
    "names what is marked for deletion": (1372, {"unknown": _nothing_unknown}),
    "does not mind open epochs": (4, {"garbage_collector": Hasty}),
    "does not look again": (316, {"garbage_collector": Blind}),
    "forgets seeds": (1, {"garbage_collector": Careless}),
}
"""Broken rules, and the first seed that has shown each; that nothing is deleted in the run that
marks it is shown by the simulation of whole programs (`deletes_at_once`)."""


@pytest.mark.parametrize("name", MUTANTS)
def test_each_rule_is_needed(name: str) -> None:
    """Without it something is lost."""
    first, parts = MUTANTS[name]
    for seed in range(first, first + MUTANT_SEEDS):
        try:
            asyncio.run(play(seed, **parts))
        except Lost:
            return
    pytest.fail(f"none of {MUTANT_SEEDS} seeds lost anything")
