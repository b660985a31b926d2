"""Situations that chance alone brings about too rarely: what happens just as something else does.

Each is a reaction to a phase that ctl has come to. They are drawn by a generator of their own, so
that the rest of a history stays as it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cleancut.core.primitives.ids import PeerId
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import OperationKind, Phase
from simulation.shards import Place

if TYPE_CHECKING:
    from simulation.scenario import Scenario
    from simulation.world import Process

SHARE = 0.7
AGAIN_S = 12.0
"""From when on a backup finds groups of a time in which clients wrote no more."""
BACKUP, RESTORE = OperationKind.BACKUP, OperationKind.RESTORE


def choose(chance: random.Random, *, restores: bool, garbage: bool) -> str:
    """Which situation a history has; "" for none."""
    able = ["lost_drains", "remade", "late_vote", "failed_writes"]
    if restores:
        able += ["late_vote", "robbed", "replaced", "taken_over"]
        able += ["replaced_early", "replaced_uploads", "lost_recoveries", "moved"]
        able += ["replaced_unseen", "replaced_frozen"]
    if garbage:
        able += ["marked"] * len(able)
    chosen = chance.choice(able)
    return chosen if chance.random() < SHARE else ""


class Situations:
    """Those of one history; `came_to` is called with every ctl."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._world = scenario, scenario.world
        self._qdrant, self._weather = scenario.qdrant, scenario.shared.weather
        self._chance = random.Random(f"situation {scenario.world.seed}")
        self._reactions: list[Callable[[Ctl], None]] = []
        self._marked_s, self._looks = 0.0, 0
        if scenario.plan.burst:
            self._reactions.append(self._burst)
        if scenario.plan.situation:
            self._reactions.append(
                {
                    "lost_drains": self._lost_drains,
                    "remade": self._remade,
                    "late_vote": self._late_vote,
                    "failed_writes": self._failed_writes,
                    "marked": self._marked,
                    "robbed": self._robbed,
                    "replaced": self._replaced,
                    "replaced_early": self._replaced_early,
                    "replaced_uploads": self._replaced_uploads,
                    "replaced_unseen": self._replaced_unseen,
                    "replaced_frozen": self._replaced_frozen,
                    "lost_recoveries": self._lost_recoveries,
                    "moved": self._moved,
                    "taken_over": self._taken_over,
                }[scenario.plan.situation]
            )
        if scenario.plan.situation in {"lost_drains", "remade"}:
            for number, at_s in enumerate((AGAIN_S - 4.0, AGAIN_S + 1.0)):
                scenario.wishes.back_up(f"backup-again-{number}", at_s)

    def came_to(self, ctl: Ctl) -> None:
        for react in self._reactions:
            react(ctl)

    def _after(self, longest_s: float, call: Callable[[], object]) -> None:
        self._world.after(self._chance.random() * longest_s, call)

    # Backups

    def _burst(self, ctl: Ctl) -> None:
        """Clients write while shards are cut, and shortly before they are."""
        if (ctl.kind, ctl.phase) == (BACKUP, Phase.CUT):
            places = list(self._qdrant.logs)
            for _ in range(self._chance.choice((5, 20, 60)) if places else 0):
                self._after(
                    0.05, partial(self._scenario.wishes.write_one, self._chance.choice(places))
                )

    def _lost_drains(self, ctl: Ctl) -> None:
        """Nothing has changed since the last backup but for one write, which looks like a drain."""
        if self._begins_again(ctl):
            for place in list(self._qdrant.logs):
                self._scenario.wishes.write_one(place)
            self._weather.lost_drain = self._chance.choice((0.5, 1.0))
            self._world.after(4.0, self._weather.clear)

    def _remade(self, ctl: Ctl) -> None:
        """Nothing has changed since the last backup but that shards were dropped and made again."""
        if self._begins_again(ctl):
            for place in list(self._qdrant.logs):
                self._qdrant.remake(place)

    def _begins_again(self, ctl: Ctl) -> bool:
        late = self._world.now_s > AGAIN_S and bool(self._scenario.shared.trace.published)
        return late and (ctl.kind, ctl.phase) == (BACKUP, Phase.PREPARE)

    def _failed_writes(self, ctl: Ctl) -> None:
        """Every shard applies an operation again that has failed, while some are cut and others
        are not yet; no number shows it."""
        if (ctl.kind, ctl.phase) == (BACKUP, Phase.PREPARE):
            for place in list(self._qdrant.logs):
                self._qdrant.fail_write(place)
            self._weather.late_cut_s = 0.4
            self._world.after(3.0, self._weather.clear)

    def _late_vote(self, ctl: Ctl) -> None:
        """An agent's vote is on its way for longer than its session lives."""
        if (ctl.kind, ctl.phase) not in {(BACKUP, Phase.UPLOAD), (RESTORE, Phase.RECOVER)}:
            return
        index = self._chance.randrange(len(self._scenario.agents))
        agent = self._scenario.agents[index]
        agent.process.writes_late = True
        end_s = self._chance.choice((0.3, 1.0, 4.0))
        self._world.after(end_s, agent.process.kill)
        self._world.after(end_s + 20.0, partial(self._scenario.harms.revive_agent, index))

    def _marked(self, ctl: Ctl) -> None:
        """A backup fails once it has stored something, and is tried again just as that is put on a
        list of garbage."""
        if ctl.kind is not BACKUP:
            return
        if ctl.phase is Phase.UPLOAD and not self._marked_s:
            self._marked_s = self._world.now_s
            self._weather.store_fails = 0.5
            self._world.after(0.6, self._weather.clear)
        if ctl.phase is Phase.ABORT and self._marked_s:
            self._scenario.shared.lists_late = True
            for at_s in (1.6, 1.8, 1.9, 2.0, 7.0, 9.0, 14.0, 20.0):
                self._scenario.users.wish(
                    f"gc at {self._world.now_s + at_s:.0f} s",
                    at_s,
                    lambda api: api.backups.collect_garbage(dry_run=False, confirmed=True),
                )

    # Restores

    def _robbed(self, ctl: Ctl) -> None:
        """An agent dies before it has recovered a shard, a client writes to it, and the agent
        restarts."""
        if (ctl.kind, ctl.phase) != (RESTORE, Phase.RECOVER):
            return
        index = self._chance.randrange(len(self._scenario.agents))
        agent = self._scenario.agents[index]
        peer = self._qdrant.peers[agent.home.peer]

        def write() -> None:
            for place, replica in peer.replicas.items():
                elsewhere = any(
                    p is not peer and place in p.replicas for p in self._qdrant.peers.values()
                )
                if place[0] in self._scenario.strangers.names and not replica.tar and not elsewhere:
                    self._qdrant.write(place)

        self._after(0.02, agent.process.kill)
        self._world.after(0.3, write)
        self._world.after(
            1.0 + self._chance.random(), partial(self._scenario.harms.revive_agent, index)
        )

    def _replaced(self, ctl: Ctl) -> None:
        """A restore is cancelled, and a client replaces what it has made while it is undone."""
        if self._cancelled(ctl):
            late, lost = self._chance.choice(((0.0, 0.0), (1.0, 0.0), (0.0, 0.5)))
            self._weather.late_answer, self._weather.no_answer = late, lost
            self._qdrant.lag_s = 0.002
            soon_s = 2.0 if late or lost else 0.01
            self._looks = 0
            self._scenario.shared.looked = partial(self._looked, soon_s)
            self._world.after(8.0, self._catch_up)

    def _cancelled(self, ctl: Ctl) -> bool:
        """A restore is cancelled; true once it is undone."""
        if ctl.kind is RESTORE and ctl.phase in {Phase.RECOVER, Phase.VERIFY}:

            async def cancel(api: Any) -> object:
                return await api.restores.cancel_restore(ctl.operation)

            self._scenario.users.wish(f"the end of {ctl.operation}", 0.0, cancel)
        return (ctl.kind, ctl.phase) == (RESTORE, Phase.ROLLBACK)

    def _looked(self, soon_s: float, process: Process) -> None:
        if self._looks_again(process):
            self._replace_all(soon_s)

    def _looks_again(self, process: Process) -> bool:
        """The leader asks every peer what there is, and then again, before it drops anything; true
        once, at any of these later looks."""
        if process is not self._scenario.harms.leading():
            return False
        self._looks += 1
        if self._looks <= len(self._qdrant.peers) or self._chance.random() >= 0.4:
            return False
        self._scenario.shared.looked = lambda _: None
        return True

    def _replace_all(self, soon_s: float) -> None:
        for name in self._scenario.strangers.names:
            self._after(soon_s, partial(self._scenario.strangers.replace, name))

    def _catch_up(self) -> None:
        self._scenario.shared.looked = lambda _: None
        self._qdrant.lag_s, self._weather.mute = 0.1, frozenset()
        self._weather.late_answer = self._weather.no_answer = 0.0

    def _replaced_unseen(self, ctl: Ctl) -> None:
        """As `_replaced`, and only the last peer knows of it, which does not answer."""
        if self._cancelled(ctl):
            last = max(self._qdrant.peers)

            def looked(process: Process) -> None:
                if self._looks_again(process):
                    self._replace_all(0.0)
                    self._world.after(0.0, partial(self._qdrant.learn_all, last))

            self._qdrant.lag_s, self._weather.mute = 8.0, frozenset({int(last)})
            self._looks, self._scenario.shared.looked = 0, looked
            self._world.after(8.0, self._catch_up)

    def _replaced_frozen(self, ctl: Ctl) -> None:
        """As `_replaced`, and the leader stands still since its last look."""
        if self._cancelled(ctl):

            def looked(process: Process) -> None:
                if self._looks_again(process):
                    process.freeze(4.0 + self._chance.random() * 4.0)
                    self._replace_all(2.0)

            self._looks, self._scenario.shared.looked = 0, looked
            self._world.after(8.0, self._catch_up)

    def _replaced_early(self, ctl: Ctl) -> None:
        """A client replaces a collection while its shards are recovered."""
        if (ctl.kind, ctl.phase) == (RESTORE, Phase.RECOVER):
            self._qdrant.lag_s = 0.002
            self._weather.slow_tar = self._chance.choice((0.0, 0.5))
            self._weather.slow, self._weather.slow_s = self._chance.choice((0.0, 0.3)), 1.0
            for name in self._scenario.strangers.names:
                self._after(0.5, partial(self._scenario.strangers.replace, name))
            self._world.after(1.0, self._catch_up)
            self._world.after(4.0, self._weather.clear)

    def _replaced_uploads(self, ctl: Ctl) -> None:
        """As `_replaced_early`, while tars are uploaded."""
        if (ctl.kind, ctl.phase) == (RESTORE, Phase.RECOVER):
            self._weather.forbidden_urls = 1.0
            self._replaced_early(ctl)

    def _moved(self, ctl: Ctl) -> None:
        """Replicas move, or become more, while they are recovered."""
        if (ctl.kind, ctl.phase) == (RESTORE, Phase.RECOVER):
            peers = list(self._qdrant.peers)
            for place in list(self._qdrant.logs):
                if place[0] in self._scenario.strangers.names:
                    move = self._chance.choice((self._move, self._qdrant.copy_shard))
                    self._after(0.2, partial(move, place, self._chance.choice(peers)))

    def _move(self, place: Place, target: PeerId) -> None:
        self._qdrant.move_shard(place, target, self._chance.random() * 0.3)

    def _lost_recoveries(self, ctl: Ctl) -> None:
        """Peers that are asked to recover a shard do not, or do not say so."""
        if (ctl.kind, ctl.phase) == (RESTORE, Phase.RECOVER):
            self._weather.lost_recover = self._chance.choice((0.5, 1.0))
            self._world.after(1.0, self._weather.clear)

    def _taken_over(self, ctl: Ctl) -> None:
        """A leader dies while replicas are verified, and so does an agent, which votes again once
        its session is over; the next leader's drains get lost."""
        if (ctl.kind, ctl.phase) != (RESTORE, Phase.VERIFY):
            return
        self._reactions.remove(self._taken_over)
        self._after(0.04, self._scenario.harms.kill_leader)
        if self._chance.random() < 0.7:
            index = self._chance.randrange(len(self._scenario.agents))
            self._after(2.0, self._scenario.agents[index].process.kill)
            self._world.after(3.0, partial(self._scenario.harms.revive_agent, index))
        if self._chance.random() < 0.7:
            self._world.after(1.0, self._lose_drains)

    def _lose_drains(self) -> None:
        self._weather.lost_drain = 1.0
        self._world.after(9.0 + self._chance.random() * 8.0, self._weather.clear)
