"""Restores that are wrong on purpose: each breaks one rule, and a checker has to find it."""

from __future__ import annotations

from typing import Any, ClassVar

from cleancut.core.format.manifest import ShardEntry
from cleancut.core.primitives.errors import TimedOut
from cleancut.core.primitives.ids import ShardId
from cleancut.core.protocol.commands import Command
from cleancut.core.protocol.etcd_records import Failure, ShardTask, Vote
from cleancut.core.protocol.events import Seen, TakenOver
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.protocol.votes import documents_of
from cleancut.core.restore import overwrite, overwriting
from cleancut.core.restore.overwrite import OldData, OldShard
from cleancut.core.restore.overwriting import Overwriting
from cleancut.core.restore.participant import RestoreParticipant
from cleancut.core.restore.phases import PublishRestore, Review
from cleancut.core.restore.report import RestoreDraft, RestoreReport
from cleancut.core.restore.restore import RestoreMachine
from cleancut.qdrant.client import Qdrant
from cleancut.repository.catalog import put_staged
from cleancut_agent import loop as agent_loop
from cleancut_agent.restore.recovery import Recovery
from cleancut_coordinator.any_peer import first_peer
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import term
from cleancut_coordinator.restore import effects as restore_effects
from cleancut_coordinator.restore.create_collections import CollectionCreator
from cleancut_coordinator.restore.destination import TargetCollection
from cleancut_coordinator.restore.effects import RestoreEffects
from simulation.mutation import Mutant, Patch

# The leader's machine


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
        if not self._all_voted(Phase.SEAL):
            return []
        documents = documents_of(self.members, self.votes)
        return [self.run(Review(self.ctl.epoch, self.ctl.draft, documents))]


class PublishesEarly(RestoreMachine):
    """Publishes when one agent has sealed."""

    def _all_voted(self, phase: Phase) -> bool:
        if phase is not Phase.SEAL:
            return super()._all_voted(phase)
        told = [vote for (of, _), vote in self.votes.items() if of == phase.value and vote.yes]
        return bool(told) and self.waiting is None

    def _sealed(self, now_s: float) -> list[Command]:
        if not self._all_voted(Phase.SEAL):
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


async def drop_any(
    self: CollectionCreator, peer: Qdrant, wanted: TargetCollection, *_: object
) -> None:
    """Drops whatever has the name."""
    await peer.delete_collection(wanted.name)


async def record_nothing(self: CollectionCreator, name: str, outcome: Any, uuid: str = "") -> None:
    """Makes collections and keeps no record of them."""


async def review_nothing(self: RestoreEffects, effect: Review) -> str:
    """Publishes what agents have verified, wherever it is by now."""
    context, draft = self._context, await self._draft(effect.epoch, effect.draft)
    report = RestoreReport(
        epoch=draft.epoch,
        operation=draft.operation,
        backup=draft.backup,
        collections=(),
        shards=(),
    )
    return await put_staged(context.store, context.paths, effect.epoch, report)


async def publish_without_aliases(context: Any, draft: RestoreDraft, read_s: Any) -> bool:
    """Publishes without aliases."""
    return True


def written_never(*_: Any) -> None:
    """Overwrites a collection that was written to, whatever the readings say."""


def read_never(self: RestoreMachine, now_s: float) -> list[Command]:
    """Relies on the readings from before the decision, however old they are."""
    return [self.run(PublishRestore(self.ctl.epoch, self.ctl.draft, now_s))]


def by_log(shard: ShardEntry) -> OldShard:
    """Where its stored log ends, as if that were a number."""
    still = shard.standstill
    number = still.after.index if still is not None else shard.second.number or 0
    return OldShard(shard.shard_id, shard.peer_id, number, shard.second.incarnation)


async def keep_another(context: CoordinatorContext, draft: RestoreDraft) -> OldData:
    """Relies on the backup that is restored, and makes none of what is overwritten."""
    (planned,) = draft.planned
    name, peer = planned.published_as, await first_peer(context.peers)
    found = (await peer.telemetry()).collections[name]
    shards = {ShardId(one.shard_id) for one in (await peer.placement(name)).shards}
    return OldData(
        name, found.uuid or "", draft.backup, draft.operation, tuple(sorted(shards)), (), ()
    )


# Agents


async def check_nothing(self: Recovery, task: ShardTask) -> None:
    """Recovers without looking whether a shard holds points."""


async def recover_trusting(self: Recovery, task: ShardTask, *, empty: bool) -> None:
    """Takes a recovery whose outcome is unknown for done."""
    try:
        await self._put(task, (await self._telemetry()).startup)
    except TimedOut:
        return


class Hasty(RestoreParticipant):
    """Says that it has recovered when it has only begun."""

    def _seen(self, event: Seen) -> list[Command]:
        commands = super()._seen(event)
        return [*commands, *self.vote(self.ballot())] if self._recovers() else commands

    def _recovers(self) -> bool:
        return self.ctl.phase is Phase.RECOVER and bool(self._tasks)


def _machine(machine: type[RestoreMachine]) -> tuple[Patch, ...]:
    return (Patch(term._MACHINES, OperationKind.RESTORE, machine),)


_RESTORES = {"restores": True}
_OVERWRITES = {"overwrites": True}

RESTORE_MUTANTS = {
    "any_round": Mutant(
        "votes count in their round alone, and a new leader begins one",
        ("told_by_all", "round_of_leader"),
        _machine(AnyRound),
        {"situation": "taken_over"},
        first=614,
    ),
    "many_writers": Mutant(
        "writes between the two readings forbid publishing",
        ("told_by_all", "never_half"),
        _machine(ManyWriters),
        _RESTORES,
        first=180,
    ),
    "publishes_early": Mutant(
        "all agents seal before anything is published",
        ("told_by_all",),
        _machine(PublishesEarly),
        _RESTORES,
        first=138,
    ),
    "aborts_late": Mutant(
        "from CREATE on a failure is undone",
        ("undone_leaves_nothing",),
        _machine(AbortsLate),
        _RESTORES,
    ),
    "drops_any": Mutant(
        "a rollback drops only the uuid that was recorded",
        ("drops_own_only",),
        (Patch(CollectionCreator, "_drop", drop_any),),
        _RESTORES,
        first=216,
    ),
    "never_records": Mutant(
        "what is made is recorded first",
        ("undone_leaves_nothing",),
        (Patch(CollectionCreator, "_record", record_nothing),),
        _RESTORES,
    ),
    "never_looks": Mutant(
        "what is published is what was made, and every replica of it was verified",
        ("never_half",),
        (Patch(RestoreEffects, "_review", review_nothing),),
        {"situation": "moved"},
        first=2364,
    ),
    "no_aliases": Mutant(
        "aliases point to what was restored",
        ("aliases_point",),
        (Patch(restore_effects, "publish_restore", publish_without_aliases),),
        _RESTORES,
    ),
    "overwrites_writes": Mutant(
        "what was written to since its backup is not overwritten",
        ("overwritten_is_kept",),
        (Patch(overwriting, "written_since", written_never),),
        _OVERWRITES,
        first=646,
    ),
    "overwrites_unread": Mutant(
        "what is overwritten is read just before it is deleted",
        ("overwritten_is_kept",),
        (Patch(Overwriting, "_read_again", read_never),),
        _OVERWRITES,
        first=210,
    ),
    "overwrites_by_log": Mutant(
        "a position of what is overwritten is a number, and not an index of its log",
        ("overwritten_is_kept",),
        (Patch(overwrite, "_old_shard", by_log),),
        _OVERWRITES,
        first=646,
    ),
    "keeps_another": Mutant(
        "a collection is overwritten only while a backup of it is there",
        ("overwritten_is_kept",),
        (Patch(restore_effects, "find_old", keep_another),),
        _OVERWRITES,
        first=206,
    ),
    "never_counts": Mutant(
        "points in a new shard forbid its recovery",
        ("nothing_lost_silently",),
        (
            Patch(Recovery, "_check_empty", check_nothing),
            Patch(Recovery, "_check_left", check_nothing),
        ),
        {"situation": "robbed"},
    ),
    "counts_once": Mutant(
        "points of a stranger in a shard forbid its recovery by an agent that restarted",
        ("nothing_lost_silently",),
        (Patch(Recovery, "_check_left", check_nothing),),
        {"situation": "robbed"},
    ),
    "trusting": Mutant(
        "a recovery of unknown outcome is repeated",
        ("never_half",),
        (Patch(Recovery, "_recover", recover_trusting),),
        {"situation": "lost_recoveries"},
        first=6436,
    ),
    "hasty": Mutant(
        "a RECOVER vote comes after the recoveries",
        ("never_half", "old_data_stays"),
        (Patch(agent_loop, "RestoreParticipant", Hasty),),
        _RESTORES,
    ),
}
