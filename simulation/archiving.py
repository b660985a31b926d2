"""The archive of logs in a history: its settings, clients that keep writing, marks that are asked
for, and what befalls the logs that are followed.

All is drawn by generators of its own, so that histories without an archive stay as they are.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cleancut.core.archive.plan import ArchiveSettings
from cleancut.core.primitives.errors import CleancutError
from simulation.qdrant import SimQdrant
from simulation.replica import SimReplica
from simulation.shards import Peer, Place

if TYPE_CHECKING:
    from simulation.scenario import Scenario

SHARE = 0.3
"""Of the histories in which agents see the data directory of their peer."""
UNTIL_S = 24.0
"""For so long clients write."""
_ALWAYS = 4.0


def is_archived(seed: int) -> bool:
    return random.Random(f"archive {seed}").random() < SHARE


def archive_settings(seed: int) -> ArchiveSettings:
    chance = random.Random(f"archive settings {seed}")
    return ArchiveSettings(
        collections=chance.choice((("c*",), ("c*",), ("c0",), ("*",))),
        chunk_s=chance.choice((1.0, 1.0, 3.0)),
        mark_every_s=chance.choice((1.0, 2.0, 5.0)),
    )


class Archiving:
    """That of one history."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._world = scenario, scenario.world
        self._qdrant, self._weather = scenario.qdrant, scenario.shared.weather
        self._chance = random.Random(f"archiving {self._world.seed}")
        self._rate = self._chance.choice((0.0, 2.0, 10.0, 40.0))
        if self._rate:
            self._world.after(self._chance.random(), self._write)
        for number in range(self._chance.randint(0, 2)):
            at_s = 3.0 + self._chance.random() * 15.0
            take = partial(_take_mark, f"mark-{number}")
            scenario.users.wish(f"mark-{number}", at_s, take)
        if not scenario.plan.calm:
            able = self._chance.sample(self._deeds(), 3)
            for _ in range(self._chance.randint(1, 5)):
                at_s = 2.0 + self._chance.random() * UNTIL_S
                self._world.after(at_s, self._chance.choice(able))

    def _deeds(self) -> list[Callable[[], None]]:
        return [
            self._cut_power,
            self._cut_power,
            self._lose_source,
            self._remake,
            self._kill_agent,
            self._kill_agent,
            self._lose_store,
        ]

    def _places(self) -> list[Place]:
        return [place for place in self._qdrant.logs if place[0].startswith("c")]

    # Clients

    def _write(self) -> None:
        """Like one client: the next write comes once the one before is sent."""
        places = self._places()
        if places:
            self._scenario.wishes.write_one(self._chance.choice(places))
        if self._world.now_s < UNTIL_S:
            self._world.after(self._chance.expovariate(self._rate), self._write)

    # What befalls logs

    def _cut_power(self) -> None:
        """A peer's machine loses what was not flushed, and the peer starts again."""
        peer = self._chance.choice(list(self._qdrant.peers.values()))
        if not peer.up or self._qdrant.stopped:
            return
        self._qdrant.stop_peer(peer.id, 0.3 + self._chance.random())
        for place in list(peer.replicas):
            lose_unflushed(self._qdrant, peer, place, self._chance.randint(0, 3))

    def _lose_source(self) -> None:
        """A replica that may be followed is dropped."""
        places = self._places()
        if not places:
            return
        place = self._chance.choice(places)
        holders = [peer.id for peer in self._qdrant.peers.values() if place in peer.replicas]
        try:
            self._qdrant.drop_replica(place, self._chance.choice(holders))
        except (CleancutError, IndexError):
            return  # it is the last one

    def _remake(self) -> None:
        """A shard's key is dropped and made again."""
        if places := self._places():
            self._qdrant.remake(self._chance.choice(places))

    def _kill_agent(self) -> None:
        index = self._chance.randrange(len(self._scenario.agents))
        self._scenario.agents[index].process.kill()
        late_s = self._chance.choice((0.1, 1.0, 20.0)) * (0.5 + self._chance.random())
        self._world.after(late_s, lambda: self._scenario.harms.revive_agent(index))

    def _lose_store(self) -> None:
        self._weather.store_fails = _ALWAYS
        self._world.after(1.0 + self._chance.random() * 6.0, self._weather.clear)


async def _take_mark(name: str, api: Any) -> object:
    return await api.cluster.take_mark(name, 4.0)


def lose_unflushed(qdrant: SimQdrant, peer: Peer, place: Place, most: int) -> None:
    """The newest entries of the replica's log are lost, and with them what they did; it will apply
    them again, as other entries. Nothing, where more than that would have to be undone."""
    replica = peer.replicas[place]
    count = min(most, replica.log.unflushed, replica.applied)
    kinds = [kind for kind, _ in qdrant.logs[place][replica.applied - count : replica.applied]]
    if count < 1 or not _undoable(replica, kinds):
        return
    writes = kinds.count("w")
    replica.log.rewind(count)
    replica.logged = replica.log.last
    replica.applied -= count
    replica.number -= count
    replica.content -= writes
    del replica.writes[len(replica.writes) - writes :]
    replica.history.append((qdrant.world.now_s, replica.content))


def _undoable(replica: SimReplica, kinds: list[str]) -> bool:
    whole = not (replica.dirty or replica.failed or replica.uncounted or replica.unnumbered)
    return whole and "f" not in kinds and len(replica.writes) >= kinds.count("w")
