"""What must hold of seeds."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import EpochMember
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.ports.coordination import Put
from simulation.outcome import Checker, Outcome


def seeds_leave_no_group(outcome: Outcome) -> Iterator[str]:
    """Nothing of a seed's epoch is decided on or published."""
    groups = set(outcome.manifests())
    groups |= {Epoch(epoch) for _, epoch, _ in outcome.shared.trace.published}
    for _, ctl in outcome.ctls():
        if ctl.kind is OperationKind.SEED and ctl.epoch in groups:
            yield f"epoch {ctl.epoch} of a seed is a group"


def seeded_is_true(outcome: Outcome) -> Iterator[str]:
    """When a seed is done, every shard was read to its end in that very epoch, and the store said
    before that it had begun, so that no gc run takes what was stored."""
    ctls = outcome.ctls()
    for record in outcome.last_records().values():
        if record.state is not State.SEEDED:
            continue
        given = _given(outcome, record.epoch)
        mine = [at_s for at_s, ctl in ctls if ctl.epoch == record.epoch]
        begun = [at_s for at_s, c in ctls if c.epoch == record.epoch and c.phase is Phase.UPLOAD]
        read = {
            (cut.collection, cut.shard_id)
            for cut in outcome.shared.trace.captures.values()
            if begun and begun[0] <= cut.at_s and cut.whole_s <= max(mine)
        }
        if not given or not given <= read:
            yield f"{record.id} is SEEDED: of {sorted(given)}, {sorted(read)} were read"
        if record.seeded is None or record.seeded.shards < len(given):
            yield f"{record.id} is SEEDED, and shows {record.seeded}"
        prefix = outcome.shared.paths.seeds_of(record.epoch)
        if not any(path.startswith(prefix) for path in outcome.shared.archive):
            yield f"{record.id} is SEEDED, and the store does not say that it has begun"


def _given(outcome: Outcome, epoch: Epoch) -> set[tuple[str, int]]:
    """The shards that were given out in an epoch, by the last record of each agent: they are given
    out again when a stranger changes the cluster meanwhile."""
    prefix = outcome.shared.keys.members(epoch)
    given = {
        op.key: decode(EpochMember, op.value, op.key).tasks
        for write in outcome.shared.trace.writes
        for op in write.ops
        if isinstance(op, Put) and op.key.startswith(prefix)
    }
    return {(task.collection, int(task.shard_id)) for tasks in given.values() for task in tasks}


SEED_CHECKERS: tuple[Checker, ...] = (seeds_leave_no_group, seeded_is_true)
