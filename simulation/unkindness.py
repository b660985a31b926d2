"""What Qdrant, the store and clocks do to operations by themselves, without any fault of a process.

One kind a history, drawn by a generator of its own, so that the rest of it stays as it is.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import decode
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import OperationKind, Phase
from simulation.checkers_store import named_by_group
from simulation.operations import HEALTHY
from simulation.prehistory import FIRST
from simulation.qdrant import info_of
from simulation.replica import USER

if TYPE_CHECKING:
    from simulation.scenario import Scenario

SHARE = 0.35
KINDS = ("optimizing", "stopped", "sick", "lost_pack", "refused", "wrong_clock", "diverged")
ALTERS_SHARDS = frozenset({"optimizing", "diverged"})
"""What a simulated log knows nothing of."""
SICK = "sick"
DAY_S = 86400.0
BACKUP = OperationKind.BACKUP


def choose_kind(seed: int) -> str:
    """That of a history; "" for most."""
    chance = random.Random(f"unkind {seed}")
    return chance.choice(KINDS) if chance.random() < SHARE else ""


def wrong_clocks(seed: int) -> dict[str, float]:
    """By how many seconds the wall clocks of coordinators are off."""
    chance = random.Random(f"clocks {seed}")
    offs = (0.0, 3 * 3600.0, -3 * 3600.0, 400 * DAY_S, -400 * DAY_S)
    return {f"coord{number}": chance.choice(offs) for number in range(3)}


class Unkindness:
    """That of one history; `came_to` is called with every ctl."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._world = scenario, scenario.world
        self._qdrant, self._shared = scenario.qdrant, scenario.shared
        self._kind, seed = scenario.plan.unkind, scenario.world.seed
        self._chance = random.Random(f"unkindness {seed}")
        self._olds = list(self._qdrant.logs)
        begin = {
            "stopped": self._stop_later,
            "sick": self._make_sick,
            "lost_pack": self._lose_later,
            "refused": self._refuse_later,
            "diverged": self._diverge,
        }.get(self._kind)
        if begin is not None:
            begin()

    def came_to(self, ctl: Ctl) -> None:
        if self._kind == "optimizing" and ctl.kind is BACKUP:
            self._optimize(ctl)

    def _soon(self, longest_s: float) -> float:
        return self._chance.random() * longest_s

    # Qdrant

    def _optimize(self, ctl: Ctl) -> None:
        """Shards are optimized shortly before they are cut, or meanwhile, and clients delete."""
        if ctl.phase not in {Phase.PREPARE, Phase.CUT} or not self._olds:
            return
        lasts_s = self._chance.choice((0.02, 0.5, 3.0, 80.0))
        for place in self._olds:
            act = partial(self._qdrant.optimize, place, lasts_s)
            self._world.after(self._soon(0.1 if ctl.phase is Phase.PREPARE else 0.02), act)
        for _ in range(self._chance.choice((0, 10, 40))):
            write = partial(self._scenario.wishes.write_one, self._chance.choice(self._olds))
            self._world.after(self._soon(0.15), write)

    def _stop_later(self) -> None:
        """Consensus stops for good; shards are read and written as before."""
        at_s = self._chance.choice((0.0, 1.0, 5.0)) + self._chance.random()

        def stop() -> None:
            self._qdrant.stopped = True

        self._world.after(at_s, stop)
        self._back_up_healthy(BackupRequest(attempts=4), at_s + 1.0)

    def _make_sick(self) -> None:
        """A collection whose only replica could not be loaded, and a backup of all others."""
        self._qdrant.create(SICK, info_of(1, 1), USER, points=3)
        for peer in self._qdrant.peers.values():
            self._qdrant.learn_all(peer.id)
            replica = peer.replicas.get((SICK, 0))
            if replica is not None:
                replica.dirty = True
        names = tuple(sorted({name for name, _ in self._olds}))
        request = self._chance.choice(
            (
                BackupRequest(attempts=4, exclude=(SICK,)),
                BackupRequest(attempts=4, allow_missing=True),
                BackupRequest(attempts=4, collections=names),
            )
        )
        self._back_up_healthy(request, self._chance.random() * 5.0)

    def _back_up_healthy(self, request: BackupRequest, at_s: float) -> None:
        if self._scenario.plan.calm and not self._scenario.plan.fenced:
            self._scenario.wishes.ask_for(HEALTHY, at_s, request)

    def _diverge(self) -> None:
        for place in self._olds:
            self._qdrant.diverge(place, self._chance.randint(1, 3))

    # The store

    def _lose_later(self) -> None:
        """A pack of the newest backup is lost, and more backups follow."""
        self._shared.on_published = self._lose
        for number, at_s in enumerate((8.0, 12.0)):
            self._scenario.wishes.back_up(f"backup-later-{number}", at_s)

    def _lose(self, epoch: int) -> None:
        if epoch != FIRST and not self._shared.trace.lost:
            self._world.after(self._soon(2.0), partial(self._lose_pack, epoch))

    def _lose_pack(self, epoch: int) -> None:
        shared, paths = self._shared, self._shared.paths
        path = next(p for p in shared.archive if p.startswith(paths.groups) and str(epoch) in p)
        manifest = decode(Manifest, shared.archive[path], path)
        names = named_by_group(paths, shared.archive, manifest)
        packs = sorted(name for name in names if name.startswith(paths.pack("")))
        if packs and not shared.trace.lost:
            lost = self._chance.choice(packs)
            shared.store.objects.pop(lost, None)
            shared.trace.lost.append((self._world.now_s, lost))
            shared.trace.say(self._world.now_s, "store", f"loses {lost}")

    def _refuse_later(self) -> None:
        """From some time on the store takes no manifest into the catalog any more."""

        def refuse() -> None:
            self._shared.refused = (self._shared.paths.groups,)

        self._world.after(self._soon(6.0), refuse)
