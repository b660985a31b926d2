"""Restores that are wrong on purpose: each breaks one rule, and a checker has to find it."""

from __future__ import annotations

from typing import Any, ClassVar

from cleancut.core.primitives.errors import TimedOut
from cleancut.core.protocol.commands import Command
from cleancut.core.protocol.etcd_records import Failure, ShardTask, Vote
from cleancut.core.protocol.events import Seen, TakenOver
from cleancut.core.protocol.states import Phase, State
from cleancut.core.protocol.votes import documents_of
from cleancut.core.restore.participant import RestoreParticipant
from cleancut.core.restore.phases import Review
from cleancut.core.restore.report import Creation, RestoreDraft, RestoreReport
from cleancut.core.restore.restore import RestoreMachine
from cleancut.qdrant.client import Qdrant
from cleancut.repository.catalog import put_staged
from cleancut_agent.restore.recovery import Recovery
from cleancut_coordinator.restore.create_collections import CollectionCreator
from cleancut_coordinator.restore.destination import TargetCollection
from tests.sim.agents import SimAgent
from tests.sim.coordinators import SimCoordinator
from tests.sim.restores import OnSim, PullEffects, RestoreEffects, SimRecovery
from tests.sim.scenario import Mutant, Parts


def _coordinator(machine: type[RestoreMachine]) -> Parts:
    return Parts(coordinator=type(machine.__name__, (SimCoordinator,), {"restore": machine}))


def _recreation(kind: type[CollectionCreator]) -> Parts:
    return _on_sim(type(kind.__name__, (OnSim,), {"recreation": kind}))


def _on_sim(kind: type[OnSim]) -> Parts:
    effects = type(kind.__name__, (RestoreEffects,), {"on_sim": kind})
    return Parts(coordinator=type(kind.__name__, (SimCoordinator,), {"restore_effects": effects}))


def _recovery(kind: type[Recovery]) -> Parts:
    effects = type(kind.__name__, (PullEffects,), {"recovery": kind})
    return Parts(agent=type(kind.__name__, (SimAgent,), {"pull_effects": effects}))


# The coordinator's machine


class AnyRound(RestoreMachine):
    """Counts the votes of any round, and begins none when it takes over."""

    def _of_round(self, phase: str, _agent: str, vote: Vote) -> bool:
        return True

    def _took(self, event: TakenOver, now_s: float) -> list[Command]:
        commands = super()._took(event, now_s)
        if self.ctl.phase is not Phase.VERIFY:
            return commands
        self.waiting = None
        return self._drained_after(Phase.VERIFY, 2)


class ManyWriters(RestoreMachine):
    """Publishes whatever the second readings say."""

    def _sealed(self, now_s: float) -> list[Command]:
        if not self._all_told(Phase.SEAL):
            return []
        documents = documents_of(self.members, self.votes)
        return [self.run(Review(self.ctl.epoch, self.ctl.draft, documents))]


class PublishesEarly(RestoreMachine):
    """Publishes when one agent has sealed."""

    def _all_told(self, phase: Phase) -> bool:
        if phase is not Phase.SEAL:
            return super()._all_told(phase)
        told = [vote for (of, _), vote in self.votes.items() if of == phase.value and vote.yes]
        return bool(told) and self.waiting is None

    def _sealed(self, now_s: float) -> list[Command]:
        if not self._all_told(Phase.SEAL):
            return []
        documents = documents_of(self.members, self.votes)
        return [self.run(Review(self.ctl.epoch, self.ctl.draft, documents))]


class AbortsLate(RestoreMachine):
    """Aborts without undoing, as if nothing had been touched."""

    transitions: ClassVar = {
        **RestoreMachine.transitions,
        (Phase.RECOVER, Phase.ABORT): "as before CREATE",
    }

    def end(self, failure: Failure, now_s: float) -> list[Command]:
        if self.ctl.phase is Phase.RECOVER:
            return self.close(State.ROLLED_BACK, failure)
        return super().end(failure, now_s)


# What it does to the cluster


class DropsAny(CollectionCreator):
    """Drops whatever has the name."""

    async def _drop(self, peer: Qdrant, wanted: TargetCollection, record: Creation) -> None:
        await peer.delete_collection(wanted.name)


class NeverRecords(CollectionCreator):
    """Makes collections and tells nobody."""

    async def _record(self, name: str, outcome: Any, uuid: str = "") -> None:
        return None


class NeverLooks(OnSim):
    """Publishes what agents have verified, wherever it is by now."""

    async def _review(self, effect: Review) -> str:
        context, draft = self._context, await self._draft(effect.epoch, effect.draft)
        report = RestoreReport(
            epoch=draft.epoch,
            operation=draft.operation,
            backup=draft.backup,
            collections=(),
            shards=(),
        )
        return await put_staged(context.store, context.paths, effect.epoch, report)


class NoAliases(OnSim):
    """Publishes without aliases."""

    async def _reveal(self, draft: RestoreDraft) -> None:
        return None


# Agents


class NeverCounts(SimRecovery):
    """Recovers without looking whether a new shard holds points."""

    async def _check_empty(self, task: ShardTask) -> None:
        return None

    async def _check_left(self, task: ShardTask) -> None:
        return None


class CountsOnce(SimRecovery):
    """Recovers without looking, when it is an agent started anew."""

    async def _check_left(self, task: ShardTask) -> None:
        return None


class Trusting(SimRecovery):
    """Takes a recovery whose outcome is unknown for done."""

    async def _recover(self, task: ShardTask) -> None:
        try:
            await self._pull(task, (await self._telemetry()).startup)
        except TimedOut:
            return


class Hasty(RestoreParticipant):
    """Says that it has recovered when it has only begun."""

    def _seen(self, event: Seen) -> list[Command]:
        commands = super()._seen(event)
        return [*commands, *self._vote(self._yes())] if self._recovers() else commands

    def _recovers(self) -> bool:
        return self.ctl.phase is Phase.RECOVER and bool(self._tasks)


class HastyAgent(SimAgent):
    pull = Hasty


RESTORE_MUTANTS = {
    "any_round": Mutant(
        "votes count in their round alone, and who takes over begins one",
        _coordinator(AnyRound),
        ("told_by_all", "round_of_leader"),
    ),
    "many_writers": Mutant(
        "writes between the two readings forbid publishing",
        _coordinator(ManyWriters),
        ("told_by_all", "never_half"),
    ),
    "publishes_early": Mutant(
        "all agents seal before anything is published",
        _coordinator(PublishesEarly),
        ("told_by_all",),
    ),
    "aborts_late": Mutant(
        "from CREATE on a failure is undone",
        _coordinator(AbortsLate),
        ("undone_leaves_nothing",),
    ),
    "drops_any": Mutant(
        "a rollback drops only the uuid that was recorded",
        _recreation(DropsAny),
        ("drops_own_only",),
    ),
    "never_records": Mutant(
        "what is made is recorded first",
        _recreation(NeverRecords),
        ("undone_leaves_nothing",),
    ),
    "never_looks": Mutant(
        "what is published is what was made, and every replica of it was verified",
        _on_sim(NeverLooks),
        ("never_half",),
    ),
    "no_aliases": Mutant(
        "aliases point to what was restored",
        _on_sim(NoAliases),
        ("aliases_point",),
    ),
    "never_counts": Mutant(
        "points in a new shard forbid its recovery",
        _recovery(NeverCounts),
        ("nothing_lost_silently",),
    ),
    "counts_once": Mutant(
        "points of a stranger in a shard forbid its recovery by an agent started anew",
        _recovery(CountsOnce),
        ("nothing_lost_silently",),
    ),
    "trusting": Mutant(
        "a recovery of unknown outcome is repeated",
        _recovery(Trusting),
        ("never_half",),
    ),
    "hasty": Mutant(
        "a RECOVER vote comes after the recoveries",
        Parts(agent=HastyAgent),
        ("never_half", "old_data_stays"),
    ),
}
