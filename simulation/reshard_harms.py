"""What befalls reshardings besides all else: clients who write all the while, peers that die amid a
stream or lag, replicas that differ, and a leader that is suspended just before it commits a ring.

Drawn by a generator of its own.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, Phase
from simulation.replica import POINTED, PointWrite
from simulation.resharding import IDS
from simulation.world import Process

if TYPE_CHECKING:
    from simulation.scenario import Scenario

WRITTEN_S = 90.0
"""For so long clients write, unless all is over before."""
SUSPENDED_S = 60.0
"""The longest."""


class ReshardHarms:
    """Those of one history; `came_to` is called with every ctl."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._world = scenario, scenario.world
        self._qdrant, self._all = scenario.qdrant, scenario.pulls.reshardings
        self._choice = random.Random(f"reshards {scenario.world.seed}")
        self._rate, self._versions = self._choice.choice((2.0, 8.0, 25.0)), 0
        self._suspends = self._stops = self._lags = False
        self._suspended: tuple[Process, Ctl] | None = None
        self._newest = Ctl()
        if not scenario.plan.calm:
            self._suspends = self._choice.random() < 0.4
            self._stops, self._lags = self._choice.random() < 0.4, self._choice.random() < 0.4
        if scenario.plan.diverged:
            self._diverge()
        self._all.before_commit = self._commits
        self._world.after(self._choice.random(), self._write)

    # Clients

    def _write(self) -> None:
        now_s = self._world.now_s
        if now_s > WRITTEN_S or (now_s > 12.0 and self._is_over()):
            return
        self._versions += 1
        version = None if self._choice.random() < 0.25 else self._versions
        self._try(PointWrite(self._choice.randrange(IDS), version))
        self._world.after(min(0.4, self._choice.expovariate(self._rate)), self._write)

    def _is_over(self) -> bool:
        return all(one.state in FINAL_STATES for one in self._scenario.operations())

    def _try(self, written: PointWrite) -> None:
        """Through some peer, by the alias where writers are fenced. What is refused is given up:
        others write to the same points, and a write that is repeated may undo theirs."""
        peer = self._choice.choice(list(self._qdrant.peers))
        aliases = self._qdrant.seen_by(peer).aliases
        if not self._scenario.plan.fenced or f"w-{POINTED}" in aliases:
            self._all.write(peer, written)

    # Faults

    def came_to(self, ctl: Ctl) -> None:
        self._newest = ctl
        if ctl.kind is not OperationKind.RESHARD:
            return
        if ctl.phase is Phase.MOVE and self._stops and self._choice.random() < 0.5:
            peer = self._choice.choice(list(self._qdrant.peers))
            stop = partial(self._qdrant.stop_peer, peer, 0.1 + self._choice.random() * 2.0)
            self._world.after(self._choice.random() * 3.0, stop)
        if ctl.phase in {Phase.PREPARE, Phase.COMMIT} and self._lags:
            self._qdrant.lag_s = 1.5
            self._world.after(2.0 + self._choice.random() * 4.0, self._catch_up)
        if self._suspended is not None and ctl.phase in {Phase.MOVE, Phase.COUNT}:
            process, then = self._suspended
            if ctl.epoch > then.epoch:
                self._suspended = None
                self._world.after(self._choice.random() * 3.0, process.wake)

    def _catch_up(self) -> None:
        self._qdrant.lag_s = 0.1

    def _commits(self, process: Process) -> None:
        """The process is about to ask for a commit."""
        if self._suspends and self._newest.phase is Phase.COMMIT and not process.frozen:
            self._suspends = False
            self._suspended = process, self._newest
            process.freeze(SUSPENDED_S)
            self._scenario.shared.trace.say(self._world.now_s, process.name, "is suspended")

    def _diverge(self) -> None:
        """One of several replicas of each shard lacks some points, and stays Active."""
        for place in self._qdrant.places(POINTED):
            peers = [peer for peer in self._qdrant.peers.values() if place in peer.replicas]
            points = peers[0].replicas[place].points
            if len(peers) > 1 and points:
                lost = self._choice.sample(sorted(points), min(3, len(points)))
                poor = self._choice.choice(peers).replicas[place].points
                for point in lost:
                    poor.pop(point)
