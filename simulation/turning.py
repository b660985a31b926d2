"""etcd restored from a snapshot of its past, and the operator who does what the runbook says.

The snapshot is taken in some phase of some operation; etcd goes back to it while that goes on, or
long after, with or without a restart of the processes. Source: docs/how-to/etcd-restored.md
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

from cleancut.core.primitives.errors import CleancutError
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.fence import CREATE_ALIAS
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, Phase, State
from cleancut.etcd.embedded.model import EtcdSnapshot
from simulation.users import Asked

if TYPE_CHECKING:
    from simulation.scenario import Scenario

BUMP = 1_000_000
LATEST_S = 12.0
"""When etcd is saved at the latest, in whatever phase it is then."""
FOUND_S = 40.0
_TRIES, _BACKUPS = 30, 3
ADOPTED = "backup-adopted"


class Turning:
    """The one time in a history at which etcd goes back."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._world = scenario, scenario.world
        self._choice = choice = random.Random(f"turning {self._world.seed}")
        kinds = sorted({one.kind for one in scenario.users.asked})
        self._kind = choice.choice(kinds)
        self._phase: Phase = choice.choice([one for one in Phase if one is not Phase.IDLE])
        self._late_s = choice.choice((0.0, 0.01, 0.3))
        self._back_s = choice.choice((0.2, 1.0, 5.0, 15.0, 25.0)) * (0.5 + choice.random())
        self._bump = choice.choice((0, BUMP))
        self._restarts = choice.choice((0.0, 0.5, 1.0))
        self._waiting = True
        if OperationKind.RESTORE in kinds:
            self._aim_at_restore()
        self.backup = Asked(ADOPTED, OperationKind.BACKUP)
        scenario.users.asked.append(self.backup)
        self._world.after(LATEST_S, self._save)

    def _aim_at_restore(self) -> None:
        """Often at one that has changed the cluster since, and is over or not."""
        choice = random.Random(f"turning a restore {self._world.seed}")
        phases = (Phase.PREPARE, Phase.RECOVER, Phase.VERIFY)
        if choice.random() < 0.5:
            self._kind, self._phase = OperationKind.RESTORE, choice.choice(phases)
            self._late_s = choice.choice((0.0, 0.01))
            self._back_s = choice.choice((0.5, 2.0, 8.0, 20.0)) * (0.5 + choice.random())

    def came_to(self, ctl: Ctl) -> None:
        if (ctl.kind, ctl.phase) == (self._kind, self._phase) and self._waiting:
            self._world.after(self._choice.random() * self._late_s, self._save)

    def _save(self) -> None:
        if self._waiting:
            self._waiting = False
            snapshot = self._scenario.shared.model.snapshot()
            self._world.after(self._back_s, lambda: self._go_back(snapshot))

    def _go_back(self, snapshot: EtcdSnapshot) -> None:
        scenario = self._scenario
        scenario.shared.turn_back(snapshot, self._bump)
        for index in range(len(scenario.agents)):
            if self._choice.random() < self._restarts:
                scenario.harms.revive_agent(index)
        for index in range(len(scenario.coordinators)):
            if self._choice.random() < self._restarts:
                scenario.harms.revive_coordinator(index)
        self._world.start(self._adopt())

    async def _adopt(self) -> None:
        """By the runbook: once nothing is open, etcd is adopted, and a backup is made."""
        await asyncio.sleep(FOUND_S)
        users = self._scenario.users
        for _ in range(_TRIES):
            try:
                await self._ended()
                await users.ask("adopt", lambda api: api.cluster.adopt("adopt-1"), tries=20)
                break
            except CleancutError as error:
                users.say(f"adopt refused: {error.message}")
                self._scenario.shared.trace.unadopted = error.message
                await asyncio.sleep(5.0)
        else:
            self.backup.refused = "never adopted"
            return
        self._scenario.shared.trace.unadopted = ""
        for number in range(_BACKUPS):
            if await self._back_up(f"{ADOPTED}-{number}"):
                return

    async def _back_up(self, request_id: str) -> bool:
        """Whether it is committed."""
        request = BackupRequest(attempts=4)

        async def back_up(api: Any) -> Any:
            return await api.backups.create_backup(request, request_id)

        try:
            shown = await self._scenario.users.ask(request_id, back_up)
        except CleancutError as error:
            self.backup.refused = error.message
            return False
        await self._ended()
        self.backup.answered = shown.id
        ended = next((one for one in self._scenario.operations() if one.id == shown.id), None)
        if ended is not None and ended.failure is not None:
            self._make_aliases(ended.failure.hint)
        return ended is not None and ended.state is State.COMMITTED

    def _make_aliases(self, hint: str) -> None:
        """What the refusal of a fence asks for, for a collection that a restore has left."""
        _, _, call = hint.partition(CREATE_ALIAS)
        for action in json.JSONDecoder().raw_decode(call)[0]["actions"] if call else ():
            made = action["create_alias"]
            self._scenario.qdrant.point(made["alias_name"], made["collection_name"])

    async def _ended(self) -> None:
        for _ in range(60):
            if all(one.state in FINAL_STATES for one in self._scenario.operations()):
                return
            await asyncio.sleep(1.0)
