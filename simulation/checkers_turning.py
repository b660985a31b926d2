"""What must hold when etcd was restored from a snapshot of its past."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.primitives.codec import decode
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.restore.report import RestoreDraft
from simulation.checkers_restore import maker_of, overwrites
from simulation.outcome import Checker, Outcome
from simulation.replica import USER
from simulation.turning import ADOPTED

FRESH_S = 4.0
"""For so long what was looked at may count. Source: `CollectionCreator`"""


def first_published(outcome: Outcome) -> dict[str, float]:
    """When the collections of each maker came into use, whatever etcd remembers of it."""
    found: dict[str, float] = {}
    for ctl, moment in outcome.moments():
        if ctl.phase is Phase.PUBLISH:
            found.setdefault(f"epoch {ctl.epoch}", moment.at_s)
    return found


def makers_without_counts(outcome: Outcome) -> set[str]:
    """The attempts that restored a backup whose points were not counted."""
    found: set[str] = set()
    paths, archive = outcome.shared.paths, outcome.shared.archive
    for ctl, _ in outcome.moments():
        if ctl.kind is OperationKind.RESTORE and ctl.draft:
            path = paths.staged(ctl.epoch, ctl.draft)
            draft = decode(RestoreDraft, archive[path], path)
            if any(shard.count is None for shard in draft.shards):
                found.add(f"epoch {ctl.epoch}")
    return found


def nothing_alive_dropped(outcome: Outcome) -> Iterator[str]:
    """No program drops a collection that is in use, or one with points that it did not write, if
    these were there when it looked; unless a restore is to overwrite it."""
    published, uncounted = first_published(outcome), makers_without_counts(outcome)
    overwritten = {(maker_of(epoch), old.uuid) for epoch, _, old in overwrites(outcome)}
    for found in outcome.qdrant.every:
        if found.dropper in {"", USER} or not found.drop_known:
            continue
        if (found.dropper, found.uuid) in overwritten:
            continue
        if published.get(found.maker, float("inf")) < found.dropped_s:
            yield f"{found.dropper} dropped {found.name} of {found.maker}, which was in use"
        if found.maker in uncounted:
            continue  # any number of points may be the backup's
        old = [at_s for at_s in found.lost_s if at_s < found.dropped_s - FRESH_S]
        if old:
            yield f"{found.dropper} dropped {found.name} with writes of {old[0]:.3f}"


def nothing_alive_overwritten(outcome: Outcome) -> Iterator[str]:
    """No tar is put into what is in use."""
    published = first_published(outcome)
    lives = {found.uuid: found for found in outcome.qdrant.every}
    for swap in outcome.shared.trace.swaps:
        if published.get(lives[swap.uuid].maker, float("inf")) < swap.at_s:
            yield f"{swap.at_s:.3f}: {swap.place} was in use and is overwritten"


def adoption_works(outcome: Outcome) -> Iterator[str]:
    """After the documented step the next backup is made."""
    trace = outcome.shared.trace
    if trace.unadopted:
        yield f"etcd went back, and adopt is refused: {trace.unadopted}"
    asked = next((one for one in outcome.asked if one.name == ADOPTED), None)
    if asked is None or not trace.turns or not outcome.qdrant.collections:
        return
    record = outcome.known_records().get(asked.answered)
    if record is None or record.state is not State.COMMITTED:
        yield f"the backup after it: {asked.refused or record}"


TURNING_CHECKERS: tuple[Checker, ...] = (
    nothing_alive_dropped,
    nothing_alive_overwritten,
    adoption_works,
)
