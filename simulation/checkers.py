"""Checkers of every run: what must hold, by the global record alone. Each yields what is wrong.

Checkers know no scenario and no program: only etcd's history, the store, and Qdrant's whole truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from cleancut.core.backup.importing import IMPORT_TRANSITIONS
from cleancut.core.backup.phases import SEED_TRANSITIONS, TRANSITIONS
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Group, Operation, Vote
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.states import CLOSED, FINAL_STATES, OperationKind, Phase, State
from cleancut.core.rebalance.phases import TRANSITIONS as REBALANCE_TRANSITIONS
from cleancut.core.reshard.phases import TRANSITIONS as RESHARD_TRANSITIONS
from cleancut.core.restore.phases import TRANSITIONS as RESTORE_TRANSITIONS
from cleancut.core.undelete.phases import TRANSITIONS as UNDELETE_TRANSITIONS
from cleancut.ports.coordination import Put
from simulation.checkers_archive import ARCHIVE_CHECKERS
from simulation.checkers_fence import FENCE_CHECKERS
from simulation.checkers_moments import MOMENT_CHECKERS
from simulation.checkers_rebalance import REBALANCE_CHECKERS
from simulation.checkers_reshard import RESHARD_CHECKERS
from simulation.checkers_restore import RESTORE_CHECKERS
from simulation.checkers_schedules import SCHEDULE_CHECKERS
from simulation.checkers_seed import SEED_CHECKERS
from simulation.checkers_store import STORE_CHECKERS
from simulation.checkers_turning import TURNING_CHECKERS
from simulation.checkers_undelete import UNDELETE_CHECKERS
from simulation.checkers_unkind import UNKIND_CHECKERS
from simulation.checkers_users import USER_CHECKERS
from simulation.outcome import Checker, Outcome
from simulation.trace import Decision, FrozenShard
from simulation.wal import cut_of

_TABLES = {
    OperationKind.BACKUP: TRANSITIONS,
    OperationKind.SEED: SEED_TRANSITIONS,
    OperationKind.IMPORT: IMPORT_TRANSITIONS,
    OperationKind.RESTORE: RESTORE_TRANSITIONS,
    OperationKind.REBALANCE: REBALANCE_TRANSITIONS,
    OperationKind.RESHARD: RESHARD_TRANSITIONS,
    OperationKind.UNDELETE: UNDELETE_TRANSITIONS,
}
VOTED = (Phase.PREPARE, Phase.CUT, Phase.SEAL, Phase.UPLOAD)


def tokens(outcome: Outcome) -> Iterator[str]:
    """Nothing is written by one whose leadership or session is over."""
    keys = outcome.shared.keys
    for write in outcome.shared.trace.writes:
        registers = any(
            isinstance(op, Put)
            and (op.key == keys.leader or op.key.startswith((keys.sessions, keys.coordinators)))
            for op in write.ops
        )
        if not registers and write.token != write.holder:
            keys_written = ", ".join(op.key for op in write.ops)
            yield f"{write.writer} wrote {keys_written} under {write.token}, not {write.holder}"


def one_holder(outcome: Outcome) -> Iterator[str]:
    """ctl belongs to one operation until that closes it, and goes only the ways of the table; an
    epoch is of one operation, also when etcd forgets it."""
    before, owners = Ctl(), dict[Epoch, str]()
    for at, (at_s, ctl) in enumerate(outcome.ctls()):
        before = next((turn.ctl for turn in outcome.shared.trace.turns if turn.ctls == at), before)
        if owners.setdefault(ctl.epoch, ctl.operation) != ctl.operation:
            yield f"{at_s:.3f}: epoch {ctl.epoch} is of {ctl.operation} and {owners[ctl.epoch]}"
        if (before.phase, ctl.phase) not in _TABLES[ctl.kind]:
            yield f"{at_s:.3f}: ctl went from {before.phase} to {ctl.phase}"
        same = (ctl.epoch, ctl.operation) == (before.epoch, before.operation)
        if before.phase not in CLOSED and not same:
            yield f"{at_s:.3f}: {ctl.operation} took ctl from {before.operation}"
        if before.phase in CLOSED and ctl.epoch <= before.epoch:
            yield f"{at_s:.3f}: epoch {ctl.epoch} after {before.epoch}"
        before = ctl


def all_voted(outcome: Outcome) -> Iterator[str]:
    """A group is decided only if every member's yes of every phase is in, under its session. An
    etcd that goes back may forget a vote that the leader has seen."""
    forgets = bool(outcome.shared.trace.turns)
    for decision in outcome.shared.trace.decisions:
        members = {kv.key.rpartition("/")[2]: kv for kv in decision.members}
        votes = {tuple(kv.key.split("/")[-2:]): kv for kv in decision.votes}
        if not members:
            yield f"{decision.group.key} was decided without members"
        for name, kv in members.items():
            member = decode(EpochMember, kv.value, kv.key)
            for phase in VOTED:
                found = votes.get((phase.value, name))
                vote = decode(Vote, found.value, found.key) if found else None
                if vote is None and forgets and phase is not Phase.UPLOAD:
                    continue
                if vote is None or not vote.yes:
                    yield f"{decision.group.key} was decided without the {phase} of {name}"
                elif phase is not Phase.UPLOAD and vote.session != member.session:
                    yield f"{decision.group.key}: {phase} of {name} under another session"


def complete(outcome: Outcome) -> Iterator[str]:
    """A group holds each shard of each of its collections exactly once, all of one epoch."""
    lives = {found.uuid: found for found in outcome.qdrant.every}
    for epoch, manifest in outcome.manifests().items():
        have = sorted((shard.collection, int(shard.shard_id)) for shard in manifest.shards)
        want = sorted(
            (entry.name, shard)
            for entry in manifest.collections
            for shard in range(lives[entry.uuid].shards_at(_window(outcome, epoch)[0]))
        )
        if have != want:
            yield f"group {epoch} holds {have}"
        if manifest.epoch != epoch:
            yield f"group {epoch} is made of epoch {manifest.epoch}"
        for shard in manifest.shards:
            where = f"group {epoch}: {shard.collection}/{shard.shard_id}"
            cut = cut_of(outcome.shared, shard)
            if cut is None:
                yield f"{where} is the tar of no cut"
            elif (cut.collection, cut.shard_id) != (shard.collection, shard.shard_id):
                yield f"{where} is the tar of {cut.collection}/{cut.shard_id}"
            elif shard.count is not None and shard.count != cut.content and not cut.lost:
                yield f"{where} has {shard.count} points, and {cut.content} were cut"


def _window(outcome: Outcome, epoch: Epoch, phase: Phase = Phase.CUT) -> tuple[float, float]:
    """From the put of CUT to the last vote of `phase`."""
    begin_s = next(
        at_s for at_s, ctl in outcome.ctls() if ctl.epoch == epoch and ctl.phase is Phase.CUT
    )
    prefix = f"{outcome.shared.keys.votes(epoch)}{phase.value}/"
    ends = [at_s for at_s, kv, _ in outcome.shared.trace.votes if kv.key.startswith(prefix)]
    return begin_s, max(ends)


def cut_in_window(outcome: Outcome) -> Iterator[str]:
    """Every shard of a group was frozen between the put of CUT and the last vote, by a member
    under its own session, or taken over from its parent; it holds what was live in that window."""
    for decision in outcome.shared.trace.decisions:
        epoch = Epoch(int(decision.group.key.rpartition("/")[2]))
        sessions = _sessions(decision)
        begin_s, end_s = _window(outcome, epoch)
        for shard in outcome.manifests()[epoch].shards:
            cut = cut_of(outcome.shared, shard)
            where = f"group {epoch}: {shard.collection}/{shard.shard_id}"
            if cut is None:
                continue
            if shard.last_entry >= 0 and shard.own_doubt:
                continue  # its log holds what the shard has failed to apply
            if shard.last_entry >= 0:  # it may be a parent's, with its log
                begin_s, end_s = _window(outcome, epoch, Phase.STANDSTILL)
            elif not shard.reused and not begin_s <= cut.at_s <= end_s:
                yield f"{where} cut at {cut.at_s:.3f}, not in {begin_s:.3f}-{end_s:.3f}"
            elif not shard.reused and sessions.get(cut.agent) != cut.token:
                yield f"{where} cut by {cut.agent} under another session"
            lived = any(low <= end_s and high >= begin_s for low, high in _lived(outcome, cut))
            if not lived and not cut.lost:
                yield f"{where} holds a state that was not live in the window"


def _sessions(decision: Decision) -> dict[str, int]:
    return {
        kv.key.rpartition("/")[2]: decode(EpochMember, kv.value, kv.key).session
        for kv in decision.members
    }


def _lived(outcome: Outcome, cut: FrozenShard) -> list[tuple[float, float]]:
    """When the replica's live state was what was captured, but for writes that had failed then."""
    _, _, replica = outcome.qdrant.replicas[cut.life]
    ends = [at_s for at_s, _ in replica.history[1:]] + [float("inf")]
    return [
        (at_s, end_s)
        for (at_s, content), end_s in zip(replica.history, ends, strict=True)
        if cut.content - cut.failed <= content <= cut.content
    ]


def quiet_is_true(outcome: Outcome) -> Iterator[str]:
    """A point-in-time backup has an instant at which every captured state was the live state."""
    for epoch, manifest in outcome.manifests().items():
        if manifest.consistency is Consistency.PER_SHARD:
            continue
        instants = [(0.0, float("inf"))]
        for shard in manifest.shards:
            cut = cut_of(outcome.shared, shard)
            spans = _lived(outcome, cut) if cut else []
            if not spans:
                yield f"group {epoch}: {shard.collection}/{shard.shard_id} was never so"
            instants = [
                (max(begin_s, from_s), min(end_s, to_s))
                for begin_s, end_s in instants
                for from_s, to_s in spans  # several, if a tar was recovered again
                if max(begin_s, from_s) <= min(end_s, to_s)
            ]
        if not instants:
            yield f"group {epoch} is called point-in-time, but no instant was like it"


def published_as_decided(outcome: Outcome) -> Iterator[str]:
    """What is published is, byte by byte, what etcd decided before; nothing else is published."""
    decided = {
        decode(Group, decision.group.value, "group").epoch: (
            decision.at_s,
            decode(Group, decision.group.value, "group").manifest,
        )
        for decision in outcome.shared.trace.decisions
    }
    if len(decided) != len(outcome.shared.trace.decisions):
        yield "an epoch was decided twice"
    for at_s, epoch, data in outcome.shared.trace.published:
        when_s, sha256 = decided.get(Epoch(epoch), (float("inf"), ""))
        if when_s > at_s:
            yield f"group {epoch} was published before it was decided"
        elif hashlib.sha256(data).hexdigest() != sha256:
            yield f"group {epoch} was published with other bytes"


def aborted_leave_nothing(outcome: Outcome) -> Iterator[str]:
    """An epoch whose ctl went to ABORT has no group, in etcd or in the store, unless etcd forgot
    that in between, or the store refuses to publish it."""
    decided = set(outcome.manifests())
    published = {Epoch(epoch) for _, epoch, _ in outcome.shared.trace.published}
    for at, (_, ctl) in enumerate(outcome.ctls()):
        if ctl.phase is not Phase.ABORT or ctl.epoch not in decided | published:
            continue
        forgotten = any(turn.ctls <= at for turn in outcome.shared.trace.turns)
        state = outcome.last_records()[ctl.operation].state
        unpublished = state is State.NEEDS_OPERATOR and ctl.epoch not in published
        if not unpublished and (not forgotten or state is State.ABORTED):
            yield f"epoch {ctl.epoch} was aborted and is a group"


def operations_end(outcome: Outcome) -> Iterator[str]:
    """Every operation reaches a final state, stays there, and its state is true."""
    last: dict[str, Operation] = {}
    turns = outcome.shared.trace.turns
    for at, (at_s, record) in enumerate(outcome.operations()):
        for turn in turns:
            if turn.recorded == at:
                last = {}
        before = last.get(record.id)
        if before is not None and before.state in FINAL_STATES and record.state != before.state:
            yield f"{at_s:.3f}: {record.id} left {before.state} for {record.state}"
        last[record.id] = record
    published = {epoch for _, epoch, _ in outcome.shared.trace.published}
    for name, record in outcome.known_records().items():
        if record.state not in FINAL_STATES:
            yield f"{name} has not ended: {record.state}"
        if record.state is State.COMMITTED and record.epoch not in published:
            yield f"{name} is shown as committed, and there is no group {record.epoch}"
        if record.state is State.ABORTED and record.epoch in published:
            yield f"{name} is shown as aborted, and there is group {record.epoch}"


ALL: tuple[Checker, ...] = (
    tokens,
    one_holder,
    all_voted,
    complete,
    cut_in_window,
    quiet_is_true,
    published_as_decided,
    aborted_leave_nothing,
    operations_end,
    *FENCE_CHECKERS,
    *RESTORE_CHECKERS,
    *SEED_CHECKERS,
    *REBALANCE_CHECKERS,
    *RESHARD_CHECKERS,
    *UNDELETE_CHECKERS,
    *STORE_CHECKERS,
    *USER_CHECKERS,
    *SCHEDULE_CHECKERS,
    *TURNING_CHECKERS,
    *UNKIND_CHECKERS,
    *ARCHIVE_CHECKERS,
    *MOMENT_CHECKERS,
)


def check(outcome: Outcome) -> list[str]:
    """All that is wrong with this run."""
    return [f"{checker.__name__}: {found}" for checker in ALL for found in checker(outcome)]
