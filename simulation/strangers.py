"""Strangers: clients who know nothing of a restore; they write, make and delete collections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from simulation.qdrant import info_of
from simulation.replica import USER

if TYPE_CHECKING:
    from simulation.scenario import Scenario


class Strangers:
    """What they may do; `names`: of the collections that restores bring back."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._rng = scenario, scenario.rng
        self._world, self._qdrant = scenario.world, scenario.qdrant
        restores = scenario.plan.restores
        self.names = [entry.name for entry in scenario.first.collections] if restores else []

    def make_room(self) -> None:
        """Deletes what earlier restores brought back, unless one is under way."""
        if self._scenario.restores_are_over():
            for name in self.names:
                self.delete(name)

    def makes(self, name: str) -> Callable[[], None]:
        """With another configuration, or with points in it: it cannot be taken for an empty one."""
        alike, shards = self._rng.random() < 0.5, self._rng.randint(1, 3)

        def make() -> None:
            if name not in self._qdrant.collections and name not in self._qdrant.aliases:
                info = info_of(shards, 1, 4 if alike else 8)
                self._qdrant.create(name, info, USER, points=5 if alike else 0)
                self._say(f"makes {name}")

        return make

    def delete(self, name: str) -> None:
        if self._qdrant.drop(name, USER):
            self._say(f"deletes {name}")

    def replace(self, name: str) -> None:
        """Deletes it and makes another of the same name."""
        if name in self._qdrant.collections:
            self.delete(name)
            self.makes(name)()

    def write(self, rate: float) -> None:
        """At once, and then at this rate for a while."""
        world, rng = self._world, self._rng
        end_s = world.now_s + (rng.choice((0.0, 0.5, 5.0)) if rate else 0.0)

        def one() -> None:
            places = [place for place in self._qdrant.logs if place[0] in self.names]
            if places:
                place = rng.choice(places)
                self._qdrant.write(place)
                self._say(f"writes to {place}")
            if world.now_s < end_s:
                world.after(rng.expovariate(rate), one)

        one()

    def copy(self) -> None:
        """A replica more of a shard that is being restored."""
        places = [place for place in self._qdrant.logs if place[0] in self.names]
        if places:
            place, target = self._rng.choice(places), self._rng.choice(list(self._qdrant.peers))
            self._qdrant.copy_shard(place, target)
            self._say(f"copies {place} to peer {target}")

    def come_in(self, soon_s: Callable[[], float]) -> None:
        """Some of them, at some time near to what users ask for."""
        if not self.names:
            return
        name = self._rng.choice(self.names)
        if self._rng.random() < 0.2:
            self._world.after(soon_s(), self.makes(name))
        if self._rng.random() < 0.15:
            self._world.after(soon_s(), partial(self.delete, name))
        if self._rng.random() < 0.4:
            self._world.after(soon_s(), partial(self.write, self._rng.choice((0.3, 3.0, 30.0))))

    def _say(self, what: str) -> None:
        self._scenario.shared.trace.say(self._world.now_s, "stranger", what)
