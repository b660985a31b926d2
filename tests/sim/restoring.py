"""Histories with restores: a group from an earlier time, disasters, strangers, and backups between.

A stranger is a client who knows nothing of the restore: it writes, makes and deletes collections.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cleancut.core.format.manifest import (
    FORMAT,
    ClusterEntry,
    CollectionEntry,
    Manifest,
    ShardEntry,
)
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import Epoch, OperationId, ShardId
from cleancut.core.protocol.etcd_records import Ctl, Operation, Reading
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, Phase, State
from cleancut.ports.coordination import Put
from tests.sim.qdrant import USER, info_of
from tests.sim.restores import PullEffects, RestoreEffects  # noqa: F401
from tests.sim.scenario import Parts, Scenario
from tests.sim.trace import Copy, Looked
from tests.support.groups import SOUND

PHASES = (Phase.CREATE, Phase.RECOVER, Phase.VERIFY, Phase.SEAL, Phase.PUBLISH, Phase.ROLLBACK)
FIRST = Epoch(1)
"""The group that is there from the beginning."""


class RestoreScenario(Scenario):
    """Restores of the first group, or of one that was made meanwhile, and whatever befalls them."""

    def __init__(self, seed: int, parts: Parts) -> None:
        self._group: Manifest | None = None
        self._strikes: dict[Phase, list[Callable[[], None]]] = {}
        super().__init__(seed, parts)
        self.shared.trace.look, self.shared.trace.struck = self._look, self._came_to

    # What users do

    def _ask(self) -> None:
        self._group = self._first_group()
        path = self.shared.paths.group(FIRST)
        self.shared.store.objects[path] = encode(self._group)
        for number in range(self.rng.randint(1, 4)):
            name = OperationId(f"op{number}")
            self.operations.append(name)
            asked_s = self.rng.random() * 5.0
            self._asked_s.append(asked_s)
            again = number == 0 or self.rng.random() < 0.5
            submit = self._submit_restore if again else self._submit
            self.world.after(asked_s, submit(name, number))
            if self.rng.random() < 0.15:
                self.world.after(asked_s + self.rng.random() * 5.0, self._cancel(name))
        if self.rng.random() < 0.3:
            self._plan_disaster()
        self._let_strangers_in()

    def _plan_disaster(self) -> None:
        """A backup, then somebody deletes a collection of it by mistake, and has it restored."""
        number = len(self.operations)
        backup, restore = OperationId(f"op{number}"), OperationId(f"op{number + 1}")
        self.operations += [backup, restore]
        self._asked_s += [0.5, 7.0]
        lost = self.rng.choice(sorted(self.qdrant.collections))
        self.world.after(0.5, self._submit(backup, 0))
        self.world.after(5.0 + self.rng.random(), lambda: self._stranger_deletes(lost))
        self.world.after(7.0, self._submit_restore(restore, number + 1, (lost,)))

    def _submit_restore(
        self, name: OperationId, number: int, lost: tuple[str, ...] = ()
    ) -> Callable[[], None]:
        some, room = self.rng.random() < 0.3, self.rng.random() < 0.7

        def submit() -> None:
            assert self._group is not None
            if room and number:
                self._make_room()
            epochs = [Epoch(epoch) for _, epoch, _ in self.shared.trace.published]
            backup, chosen = FIRST, () if not some else (self._group.collections[0].name,)
            if lost and epochs:
                backup, chosen = epochs[-1], lost
            request = RestoreRequest(backup=backup, collections=chosen)
            record = Operation(
                id=name,
                kind=OperationKind.RESTORE,
                state=State.PENDING,
                request=encode(request).decode(),
                created_at=f"{number}",
            )
            self.shared.model.txn([], [Put(self.shared.keys.operation(name), encode(record))])

        return submit

    def _make_room(self) -> None:
        """Deletes what earlier restores brought back, unless one is under way."""
        assert self._group is not None
        if all(state in FINAL_STATES for state in self._states(OperationKind.RESTORE)):
            for entry in self._group.collections:
                self._stranger_deletes(entry.name)

    def _first_group(self) -> Manifest:
        """Some collections that are gone; quiet, so that counts are known, or bounded."""
        quiet, copies = self.rng.random() < 0.5, self.rng.randint(1, 2)
        entries, shards = [], list[ShardEntry]()
        for index in range(self.rng.randint(1, 2)):
            name, count = f"r{index}", self.rng.randint(1, 3)
            entries.append(
                CollectionEntry(
                    name=name,
                    uuid=f"uuid-{name}-old",
                    info=info_of(count, copies),
                    shard_ids=tuple(ShardId(shard) for shard in range(count)),
                    aliases=(f"live-{name}",) if self.rng.random() < 0.5 else (),
                )
            )
            shards += [self._entry(name, shard, quiet=quiet) for shard in range(count)]
        return Manifest(
            format=FORMAT,
            cluster="sim",
            cluster_id="sim",
            epoch=FIRST,
            operation=OperationId("earlier"),
            created_by="sim",
            cut_at="",
            skew_ms=1,
            collections=tuple(entries),
            shards=tuple(shards),
            source=ClusterEntry(qdrant_version="1.18.3", peers={}, metadata={}),
            view="",
        )

    @staticmethod
    def _entry(name: str, shard: int, *, quiet: bool) -> ShardEntry:
        points = 100_000 * (shard + 1) + 1_000_000 * int(name[1:])
        return ShardEntry(
            collection=name,
            shard_id=ShardId(shard),
            peer_id=1,  # type: ignore[arg-type]
            agent="a1",
            recipe=f"{points}",
            tar_sha256="",
            size_bytes=1,
            new_bytes=1,
            stored_bytes=1,
            first=Reading(number=1, incarnation="s", arrivals=0, state=SOUND),
            second=Reading(number=2 if quiet else 9, incarnation="s", arrivals=0, state=SOUND),
            drained=True,
            count=points if quiet else None,
        )

    # What strangers do

    def _let_strangers_in(self) -> None:
        assert self._group is not None
        names = [entry.name for entry in self._group.collections]
        if self.rng.random() < 0.2:
            self.world.after(self._soon_s(), self._stranger_makes(self.rng.choice(names)))
        if self.rng.random() < 0.15:
            name = self.rng.choice(names)
            self.world.after(self._soon_s(), lambda: self._stranger_deletes(name))
        if self.rng.random() < 0.4:
            rate = self.rng.choice((0.3, 3.0, 30.0))
            self.world.after(self._soon_s(), lambda: self._stranger_writes(rate, names))
        if self.rng.random() < 0.25:
            self._disturb_recovery(names)

    def _disturb_recovery(self, names: list[str]) -> None:
        """What a restore can only tell by looking again."""
        deeds: tuple[Callable[[], None], ...] = (
            partial(self._stranger_copies, names),
            partial(self._rob_agent, names),
            self._lose_recoveries,
        )
        self._strikes.setdefault(Phase.RECOVER, []).append(self.rng.choice(deeds))

    def _rob_agent(self, names: list[str]) -> None:
        """An agent dies, and somebody writes before its next life."""
        self._kill_agent_now()
        self.world.after(self.rng.random(), lambda: self._stranger_writes(30.0, names))

    def _soon_s(self) -> float:
        return self.rng.choice(self._asked_s) + self.rng.random() * 3.0

    def _stranger_makes(self, name: str) -> Callable[[], None]:
        """With another configuration, or with points in it: nobody could take it for empty."""
        alike, shards = self.rng.random() < 0.5, self.rng.randint(1, 3)

        def make() -> None:
            if name not in self.qdrant.collections and name not in self.qdrant.aliases:
                info = info_of(shards, 1, 4 if alike else 8)
                self.qdrant.create(name, info, USER, points=5 if alike else 0)
                self._tell(f"makes {name}")

        return make

    def _stranger_deletes(self, name: str) -> None:
        if self.qdrant.drop(name, USER):
            self._tell(f"deletes {name}")

    def _stranger_replaces(self, name: str) -> None:
        """Deletes it and makes another of the same name."""
        if name in self.qdrant.collections:
            self._stranger_deletes(name)
            self._stranger_makes(name)()

    def _stranger_writes(self, rate: float, names: list[str]) -> None:
        """At once, and then at this rate for a while."""
        end_s = self.world.now_s + (self.rng.choice((0.0, 0.5, 5.0)) if rate else 0.0)

        def write() -> None:
            places = [place for place in self.qdrant.logs if place[0] in names]
            if places:
                place = self.rng.choice(places)
                self.qdrant.write(place)
                self._tell(f"writes to {place}")
            if self.world.now_s < end_s:
                self.world.after(self.rng.expovariate(rate), write)

        write()

    def _stranger_copies(self, names: list[str]) -> None:
        """A replica more of a shard that is being restored."""
        places = [place for place in self.qdrant.logs if place[0] in names]
        if places:
            place, target = self.rng.choice(places), self.rng.choice(list(self.qdrant.peers))
            self.qdrant.copy_shard(place, target)
            self._tell(f"copies {place} to peer {target}")

    def _tell(self, what: str) -> None:
        self.shared.trace.say(self.world.now_s, "stranger", what)

    # What goes wrong

    def _harms(self) -> tuple[Callable[[], None], ...]:
        return (
            *super()._harms(),
            self._lose_recoveries,
            self._slow_tars,
            self._lag,
            self._plan_strike,
            self._plan_strike,
        )

    def _plan_strike(self) -> None:
        """Something happens just after ctl comes to some phase of a restore."""
        phase = self.rng.choice(PHASES)
        names = [entry.name for entry in self._group.collections] if self._group else []
        name = self.rng.choice(names)
        strike = self.rng.choice(
            (
                self._kill_leader_now,
                self._freeze_leader_now,
                self._kill_agent_now,
                self._freeze_agent_now,
                self._double_coordinator,
                self._stop_peer,
                self._lose_recoveries,
                self._cancel(self.rng.choice(self.operations)),
                self._stranger_makes(name),
                lambda: self._stranger_deletes(name),
                lambda: self._stranger_replaces(name),
                lambda: self._stranger_writes(3.0, names),
                lambda: self._stranger_writes(0.0, names),
            )
        )
        self._strikes.setdefault(phase, []).append(strike)

    def _came_to(self, ctl: Ctl) -> None:
        for strike in self._strikes.pop(ctl.phase, []):
            late_s = self.rng.random() * self.rng.choice((0.02, 0.05, 0.5))
            self.world.after(late_s, strike)

    def _kill_leader_now(self) -> None:
        index = self._leading()
        self.coordinators[index].process.kill()
        self.world.after(1.0 + self.rng.random() * 3.0, lambda: self._revive_coordinator(index))

    def _freeze_leader_now(self) -> None:
        self.coordinators[self._leading()].process.freeze(1.0 + self.rng.random() * 20.0)

    def _kill_agent_now(self) -> None:
        index = self.rng.randrange(len(self.agents))
        self.agents[index].process.kill()
        self.world.after(1.0 + self.rng.random() * 3.0, lambda: self._revive_agent(index))

    def _freeze_agent_now(self) -> None:
        self.rng.choice(self.agents).process.freeze(1.0 + self.rng.random() * 12.0)

    def _lose_recoveries(self) -> None:
        self.shared.weather.lost_recover = 0.5
        self.world.after(1.0 + self.rng.random() * 4.0, self.shared.weather.clear)

    def _slow_tars(self) -> None:
        self.shared.weather.slow_tar = 0.5
        self.shared.weather.store_fails = self.rng.choice((0.0, 0.05))
        self.world.after(1.0 + self.rng.random() * 4.0, self.shared.weather.clear)

    def _lag(self) -> None:
        """Some peers come to know late what the cluster has agreed on."""
        self.qdrant.lag_s = 1.0
        self.world.after(1.0 + self.rng.random() * 4.0, self._catch_up)

    def _catch_up(self) -> None:
        self.qdrant.lag_s = 0.1

    # For the checkers

    def _look(self) -> Looked:
        uuids = {name: found.uuid for name, found in self.qdrant.collections.items()}
        copies: dict[str, tuple[Copy, ...]] = {}
        for peer in self.qdrant.peers.values():
            for (name, shard), replica in peer.replicas.items():
                copy = Copy(shard, peer.id, replica.tar, tuple(replica.writes), replica.dirty)
                copies[name] = (*copies.get(name, ()), copy)
        return uuids, copies, dict(self.qdrant.aliases)
