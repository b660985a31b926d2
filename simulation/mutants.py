"""Backups that are wrong on purpose: each breaks one rule, and a checker has to find it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace as with_changes
from typing import Any

from msgspec.structs import replace

from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.participant import BackupParticipant, Capture
from cleancut.core.backup.phases import Publish, Stage
from cleancut.core.backup.seed import SeedMachine
from cleancut.core.format.manifest import CollectionEntry, Draft, Manifest
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import AgentName, Epoch, Sha256
from cleancut.core.protocol.commands import CastVote, Command, Decide
from cleancut.core.protocol.effect_requests import Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import (
    Bounds,
    Ctl,
    Group,
    Reading,
    ShardState,
    ShardTask,
    Vote,
)
from cleancut.core.protocol.events import Done, Event
from cleancut.core.protocol.evidence import is_unchanged
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.states import OperationKind, Phase
from cleancut.ports.coordination import Created, Guard, Op, Put, TxnResult
from cleancut.qdrant import peer_view
from cleancut.qdrant.responses import ShardTelemetry
from cleancut.repository.catalog import get_checked
from cleancut_agent import loop as agent_loop
from cleancut_agent.backup.effects import AgentBackupEffects
from cleancut_agent.fence_watchdog import FenceWatchdog
from cleancut_coordinator.backup import effects as backup_effects
from cleancut_coordinator.backup.effects import LeaderBackupEffects
from cleancut_coordinator.leader import term
from cleancut_coordinator.leader.fences import FenceReleaser
from cleancut_coordinator.leader.state import LeaderState
from simulation.mutation import Mutant, Patch

# The agent


class VotesEarly(BackupParticipant):
    """Votes that it has cut when it has only begun to."""

    def _cut(self) -> list[Command]:
        commands = super()._cut()
        tasks = self._tasks or ()
        if isinstance(commands[0], CastVote):
            return commands
        return [*self.vote(self.read(Readings((0,) * len(tasks), "early", 0))), *commands]

    def _done(self, event: Done, now_s: float) -> list[Command]:
        if isinstance(event.effect, Capture):
            self.running, self._first = None, event.result
            return []
        return super()._done(event, now_s)


class ForgetsDrains(BackupParticipant):
    """Takes one number more than the parent's for the drain, even if the drain did not answer."""

    def _tasks_to_cut(self, tasks: tuple[ShardTask, ...]) -> tuple[ShardTask, ...]:
        return tasks


class ReadsOnce(BackupParticipant):
    """Gives the first reading as the second one, as if nothing but the drain had come."""

    def _done(self, event: Done, now_s: float) -> list[Command]:
        if isinstance(event.effect, ReadNumbers) and self._first is not None:
            first = self._first
            again = tuple(None if number is None else number + 1 for number in first.numbers)
            told = dataclasses.replace(event.result, numbers=again, states=first.states)
            said = dataclasses.replace(told, incarnation=first.incarnation, arrivals=first.arrivals)
            event = Done(event.effect, said)
        return super()._done(event, now_s)


def of_any_session(key: str, revision: int) -> Created:
    """A guard that holds whatever became of the session."""
    return Created("/nothing/there", 0)


def taken_over(self: AgentBackupEffects, task: ShardTask, first: Reading, uuid: str) -> bool:
    """A shard counts as unchanged whenever it has a parent."""
    return bool(task.recipe) and self._parents.recipe_of(task) is not None


def taken_by_number(self: AgentBackupEffects, task: ShardTask, first: Reading, uuid: str) -> bool:
    """A shard under the same id, with the expected number, counts as the parent's."""
    if task.parent is None or not self._parents.can_take_over(task):
        return False
    return is_unchanged(task.parent, replace(first, state=task.parent.second.state), uuid)


def always_green(shard: ShardTelemetry | None, known: str) -> ShardState:
    """Any shard counts as whole, whatever its status is."""
    return replace(_real_state(shard, known), status="green")


_real_state = peer_view._state
_real_confirm = FenceWatchdog.confirm


async def confirm_without_end(self: FenceWatchdog, epoch: Epoch) -> Fence:
    """The fence is seen, and no end is set to it."""
    fence = await _real_confirm(self, epoch)
    self._ends_s.clear()
    return fence


# The leader


class MissesOne(Barrier):
    """Commits when all but one have stored their shards."""

    def _uploaded(self, now_s: float) -> list[Command]:
        votes = {n: self.votes.get((Phase.UPLOAD.value, n)) for n in sorted(self.members)}
        given = {name: vote.document for name, vote in votes.items() if vote and vote.yes}
        if len(given) < max(1, len(votes) - 1) or self.waiting is not None:
            return []
        return [self.run(Stage(self.ctl.epoch, self.ctl, tuple(sorted(given.items()))))]

    def react(self, event: Event, now_s: float) -> list[Command]:
        voted = {name for phase, name in self.votes if phase == Phase.UPLOAD.value}
        return [
            with_changes(command, voters=tuple(n for n in command.voters if n in voted))
            if isinstance(command, Decide)
            else command
            for command in super().react(event, now_s)
        ]


class EndsEarly(SeedMachine):
    """A seed that is done when the first agent is."""

    def _uploaded(self, now_s: float) -> list[Command]:
        self.members = {
            name: member
            for name, member in self.members.items()
            if (Phase.UPLOAD.value, name) in self.votes
        }
        return super()._uploaded(now_s) if self.members else []


async def decide_unguarded(
    self: LeaderState, command: Decide, votes: Mapping[AgentName, Vote]
) -> bool:
    """Commits without looking whether the votes are there."""
    ctl = command.ctl
    group = Group(epoch=ctl.epoch, operation=ctl.operation, manifest=Sha256(ctl.manifest))
    put: Op = Put(self._keys.group(ctl.epoch), encode(group))
    return await self._write_ctl(ctl, [put], [])


async def write_anyway(self: LeaderState, ops: Sequence[Op], *guards: Guard) -> TxnResult:
    """Writes whichever coordinator leads."""
    return await self._etcd.txn(guards, list(ops))


async def write_over(self: LeaderState, ctl: Ctl, ops: list[Op], guards: Sequence[Guard]) -> bool:
    """Writes ctl whatever it has become."""
    result = await self._etcd.txn(guards, [Put(self._keys.ctl, encode(ctl)), *ops])
    return result.applied


async def publish_changed(self: LeaderBackupEffects, effect: Publish) -> None:
    """Publishes what it would say now, not what was decided."""
    store, paths = self._context.store, self._context.paths
    data = await get_checked(store, paths.staged(effect.epoch, effect.manifest), effect.manifest)
    await store.put(paths.group(effect.epoch), data.replace(b'"cleancut ', b'"CLEANCUT '))


async def drain_unawaited(self: LeaderBackupEffects, draft: Draft, entry: CollectionEntry) -> bool:
    """Says that all is drained when the drains have only been sent."""
    with suppress(CleancutError, TimeoutError):
        async with asyncio.timeout(0.0001):
            await self._context.peers[0].drain(entry.name, entry.shard_ids, (), Bounds().drain_s)
    return True


def incomplete(manifest: Manifest) -> None:
    """A manifest is staged without a look whether it is whole."""


def lift_nothing(self: FenceReleaser, fence: Fence) -> None:
    """A fence stays although its end was asked for."""


async def nothing_left_over(self: FenceReleaser) -> list[Fence]:
    """No fence is found in etcd."""
    return []


def _machine(kind: OperationKind, machine: type[Any]) -> Patch:
    return Patch(term._MACHINES, kind, machine)


BACKUP_MUTANTS = {
    "votes_early": Mutant(
        "a CUT vote comes after the cuts",
        ("cut_in_window", "complete"),
        (Patch(agent_loop, "BackupParticipant", VotesEarly),),
        {"restores": False},
        first=11,
    ),
    "forgets_drains": Mutant(
        "without its drain nothing is known to be unchanged",
        ("cut_in_window", "quiet_is_true"),
        (Patch(agent_loop, "BackupParticipant", ForgetsDrains),),
        {"situation": "lost_drains"},
        first=427,
    ),
    "reads_once": Mutant(
        "quiet needs a second reading",
        ("quiet_is_true",),
        (Patch(agent_loop, "BackupParticipant", ReadsOnce),),
        {"burst": True, "fenced": False},
    ),
    "takes_over": Mutant(
        "a parent is taken over only if nothing changed",
        ("cut_in_window", "quiet_is_true", "complete"),
        (Patch(AgentBackupEffects, "_is_unchanged", taken_over),),
        {"restores": False},
    ),
    "trusts_numbers": Mutant(
        "a shard that was dropped and made again is another one",
        ("cut_in_window", "quiet_is_true", "complete"),
        (Patch(AgentBackupEffects, "_is_unchanged", taken_by_number),),
        {"situation": "remade"},
    ),
    "blind": Mutant(
        "a number proves nothing of a shard with failed operations",
        ("quiet_is_true",),
        (Patch(peer_view, "_state", always_green),),
        {"situation": "failed_writes"},
        first=439,
    ),
    "any_session": Mutant(
        "votes are guarded by the session",
        ("tokens",),
        (Patch(agent_loop, "Created", of_any_session),),
        {"situation": "late_vote"},
    ),
    "any_ctl": Mutant(
        "votes are guarded by the ctl that they answer",
        ("votes_answer",),
        (Patch(agent_loop, "Modified", of_any_session),),
        {"calm": False},
        first=192,
    ),
    "misses_one": Mutant(
        "a commit is guarded by all votes",
        ("all_voted", "complete"),
        (
            _machine(OperationKind.BACKUP, MissesOne),
            Patch(LeaderState, "decide", decide_unguarded),
            Patch(backup_effects, "check_complete", incomplete),
        ),
        {"restores": False},
    ),
    "ends_early": Mutant(
        "a seed is done when all have read their shards",
        ("seeded_is_true",),
        (_machine(OperationKind.SEED, EndsEarly),),
        {"seeds": True},
    ),
    "usurper": Mutant(
        "a leader's writes are guarded by its token",
        ("tokens",),
        (
            Patch(LeaderState, "txn", write_anyway),
            Patch(LeaderState, "_write_ctl", write_over),
        ),
        {"calm": False},
        first=133,
    ),
    "never_waits": Mutant(
        "quiet needs a drain that was applied",
        ("quiet_is_true", "cut_in_window"),
        (Patch(LeaderBackupEffects, "_drain_one", drain_unawaited),),
        {"burst": True, "calm": False},
        first=2622,
    ),
    "rewrites": Mutant(
        "what is published is what was decided",
        ("published_as_decided",),
        (Patch(LeaderBackupEffects, "_publish", publish_changed),),
        {"restores": False},
    ),
    "lifts_late": Mutant(
        "a fence ends with its epoch's cuts, or at its budget",
        ("fence_lifted",),
        (
            Patch(FenceWatchdog, "confirm", confirm_without_end),
            Patch(FenceReleaser, "lift", lift_nothing),
            Patch(FenceReleaser, "_left_over", nothing_left_over),
        ),
        {"fenced": True},
        first=73,
    ),
}
