"""What must hold however unkind Qdrant, the store and clocks are."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.states import Phase, State
from simulation.checkers_store import named_by_group
from simulation.operations import HEALTHY
from simulation.outcome import Checker, Outcome
from simulation.replica import USER
from simulation.unkindness import SICK
from simulation.wal import cut_of


def nothing_lost_is_named(outcome: Outcome) -> Iterator[str]:
    """A backup that began after the store had lost an object can be read again whole."""
    paths, archive, trace = outcome.shared.paths, outcome.shared.archive, outcome.shared.trace
    began: dict[Epoch, float] = {}
    for at_s, ctl in outcome.ctls():
        if ctl.phase is Phase.PREPARE:
            began.setdefault(ctl.epoch, at_s)
    for _, epoch, data in trace.published:
        names = named_by_group(paths, archive, decode(Manifest, data, str(epoch)))
        for at_s, path in trace.lost:
            put_again = path in outcome.shared.store.objects
            if path in names and not put_again and began.get(Epoch(epoch), 0.0) > at_s:
                yield f"group {epoch} is healthy and names {path}, lost at {at_s:.3f}"


def healthy_is_backed_up(outcome: Outcome) -> Iterator[str]:
    """A backup of what is healthy is made while another collection, or consensus, is sick. A shard
    that is moved meanwhile is not healthy: the refusal says so; nor is a collection that a stranger
    deletes meanwhile."""
    asked = next((one for one in outcome.asked if one.name == HEALTHY), None)
    if asked is None:
        return
    record = outcome.known_records().get(asked.answered)
    if record is not None and record.failure is not None and _moving(record.failure):
        return
    if record is None or record.state is not State.COMMITTED:
        if any(one.name != SICK and one.dropper == USER for one in outcome.qdrant.every):
            return
        yield f"the backup of what is healthy: {asked.refused or record}"
        return
    held = {entry.name for entry in outcome.manifests()[record.epoch].collections}
    if SICK in held or not held:
        yield f"the backup of what is healthy holds {sorted(held)}"


def _moving(failure: Failure) -> bool:
    return bool(failure.sick) and all("(in a transfer)" in one.reason for one in failure.sick)


def fullest_is_cut(outcome: Outcome) -> Iterator[str]:
    """No replica is cut that lacks writes which another one has. Elsewhere than in calm histories
    that other one may not answer, and then nothing is called point-in-time; or clients write while
    both are counted, and then the counts say nothing."""
    calm = outcome.shared.trace.calm
    for epoch, manifest in outcome.manifests().items():
        if manifest.consistency is Consistency.PER_SHARD and not calm:
            continue
        for shard in manifest.shards:
            if shard.count is None and not calm:
                continue
            cut = cut_of(outcome.shared, shard)
            if cut is not None and cut.stale:
                yield f"group {epoch}: {shard.collection}/{shard.shard_id} was cut where it is old"


def wrong_clock_deletes_nothing(outcome: Outcome) -> Iterator[str]:
    """A coordinator whose clock is wrong by hours deletes nothing, but for the hold of a restore
    that it undoes."""
    trace = outcome.shared.trace
    for at_s, who, path in trace.deleted:
        if who in trace.wrong_clocks and "/label.overwrite-" not in path:
            yield f"{at_s:.3f}: {who}, whose clock is wrong, deleted {path}"


UNKIND_CHECKERS: tuple[Checker, ...] = (
    nothing_lost_is_named,
    healthy_is_backed_up,
    fullest_is_cut,
    wrong_clock_deletes_nothing,
)
