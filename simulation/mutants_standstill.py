"""Backups under writes that are rolled forward wrongly on purpose."""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.participant import BackupParticipant, LogEnds, StandstillEnds
from cleancut.core.backup.standstill import read_ends
from cleancut.core.protocol import evidence
from cleancut.core.protocol.commands import Command
from cleancut.core.protocol.etcd_records import Reading
from cleancut.core.protocol.states import OperationKind
from cleancut_agent.backup import shard_logs
from cleancut_agent.backup.shard_logs import ShardLogs
from cleancut_coordinator.leader import term
from simulation.mutation import Mutant, Patch

_real_ends = ShardLogs.ends
_real_still = BackupParticipant._still


class OneRound(Barrier):
    """Takes the ends of one round for a standstill."""

    def _looked(self, now_s: float) -> list[Command]:
        ends = read_ends(self.ctl.round, self.members, self.votes)
        self._search = dataclasses.replace(self._search, ends=ends or {})
        return super()._looked(now_s)


def as_before(self: BackupParticipant) -> StandstillEnds | None:
    """Says of the round before what it read in this one."""
    if self.ctl.standstill:
        self._ends.setdefault(self.ctl.standstill - 1, ())
    found = _real_still(self)
    return None if found is None else dataclasses.replace(found, before=found.after)


async def ends_behind(self: ShardLogs) -> LogEnds:
    """The log of the first shard ends one entry earlier than it does."""
    found = await _real_ends(self)
    if not found.ends:
        return found
    first, *others = found.ends
    return LogEnds((replace(first, index=first.index - 1), *others))


def first_needed_late(ack: int, first: Reading) -> int:
    """One entry too late."""
    return ack if first.number is None else first.number + 2


_UNDER_WRITES = {"restores": False, "logs": True, "fenced": False, "calm": False}

STANDSTILL_MUTANTS = {
    "one_round": Mutant(
        "no log may grow between two rounds",
        ("quiet_is_true", "cut_in_window"),
        (
            Patch(term._MACHINES, OperationKind.BACKUP, OneRound),
            Patch(BackupParticipant, "_still", as_before),
        ),
        _UNDER_WRITES,
        first=5861,
    ),
    "ends_behind": Mutant(
        "a shard is stored with its log to the end of the standstill",
        ("quiet_is_true", "cut_in_window"),
        (Patch(ShardLogs, "ends", ends_behind),),
        _UNDER_WRITES,
    ),
    "starts_late": Mutant(
        "a shard is stored with its log from the first entry that its files may lack",
        ("quiet_is_true", "cut_in_window"),
        (
            Patch(shard_logs, "first_needed", first_needed_late),
            Patch(evidence, "first_needed", first_needed_late),
        ),
        _UNDER_WRITES,
        first=133,
    ),
}
