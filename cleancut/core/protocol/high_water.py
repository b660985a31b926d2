"""High-water marks: what the store knows of operations, so that a step back of etcd is noticed.

etcd restored from a snapshot shows a past as the present: an attempt that ended long ago looks
open, and undoing it, or carrying it on, would change what has been in use since. The store does
not go back with etcd. So each epoch is marked in the store before it begins, the publication of a
restore before it is visible, and the end of what changes the cluster before etcd records it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import Ctl, Failure
from cleancut.core.protocol.states import Phase, State

RUNBOOK = "docs/how-to/etcd-restored.md"
BEHIND_HINT = (
    f"nothing was changed; follow {RUNBOOK}: look at what is live, then run `cleancut adopt`"
)
NO_OWNER = "the store is empty: what this cluster has stored before is not there"
"""Said of a store without an owner, once the cluster has begun operations."""
NO_OWNER_HINT = "check --store, and that its disk is mounted; `cleancut adopt` begins a new store"


class HighWaterMark(Record, frozen=True):
    """`marks/<epoch>/opened.json`: written before the epoch begins, with etcd as it was then.

    `cluster_id`: cleancut's own, as `id` in etcd has it. `etcd_id`: that of the etcd cluster.
    """

    epoch: Epoch
    cluster_id: str
    owner_number: int
    etcd_id: str
    revision: int


class BegunMark(Record, frozen=True):
    """`marks/<epoch>/begun.json`: from here on a restore or a rebalance may have changed the
    cluster."""

    epoch: Epoch


class PublishedMark(Record, frozen=True):
    """`marks/<epoch>/published.json`: from here on this restore is never undone."""

    epoch: Epoch
    report: str  # sha256 of the staged report


class EndedMark(Record, frozen=True):
    """`marks/<epoch>/ended.json`: all effects of the attempt are over; only etcd may not know."""

    epoch: Epoch
    state: State


@dataclass(frozen=True, slots=True)
class EtcdPosition:
    """Where etcd is now. `epoch`: its counter."""

    cluster_id: str
    etcd_id: str
    epoch: Epoch
    revision: int


@dataclass(frozen=True, slots=True)
class ReadMarks:
    """Read what the store knows of an attempt that was taken over. Result: `StoreMarks`."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class StoreMarks:
    """`newest`: the newest epoch that this cluster has marked; 0 for none. `behind`: why etcd is
    behind the store, or "". `published`: the report's sha256, or "". `ended`: COMMITTED also for a
    backup that is in the catalog, or was deleted from it. `begun`: the cluster may be changed."""

    newest: Epoch
    behind: str = ""
    published: str = ""
    ended: State | None = None
    begun: bool = False


_AGAIN = (Phase.COMMIT, State.COMMITTED), (Phase.COUNT, State.DONE)
"""What may be done again at its end: what is published has the same bytes, what is counted is over.
"""
_MADE_WAY = frozenset({Phase.SEAL, Phase.PUBLISH, Phase.ROLLBACK})
"""Where a restore may stand that was about to make way for its reshards, and was not seen to."""


class Takeover(Enum):
    """What may be done with an attempt that was taken over."""

    GO_ON = "go_on"
    PUBLISH = "publish"  # it was to be published: there is no other way any more
    CLOSE = "close"  # its effects are over: only its end is to be recorded
    STOP = "stop"  # etcd shows a past: an operator is needed


def why_behind(mark: HighWaterMark | None, etcd: EtcdPosition) -> str:
    """Why etcd cannot be the one that wrote the newest mark of this store, or ""."""
    if mark is None or mark.cluster_id != etcd.cluster_id:
        return ""  # another cluster's: the store's owner decides
    if etcd.epoch < mark.epoch:
        return f"its newest epoch is {etcd.epoch}, the store knows of {mark.epoch}"
    if etcd.etcd_id != mark.etcd_id:
        return f"it is another etcd cluster ({etcd.etcd_id}) than at epoch {mark.epoch}" + (
            f" ({mark.etcd_id})"
        )
    if etcd.revision < mark.revision:
        return f"its revision is {etcd.revision}, and was {mark.revision} at epoch {mark.epoch}"
    return ""


def judge_takeover(ctl: Ctl, marks: StoreMarks) -> Takeover:
    """What may be done with the open attempt of `ctl`. The order matters: an end that was marked
    is the end, and a publication that was marked is never undone."""
    if marks.behind or marks.newest > ctl.epoch:
        return Takeover.STOP
    made_way = marks.ended is State.PENDING and ctl.phase in _MADE_WAY
    if (ctl.phase, marks.ended) in _AGAIN:
        return Takeover.GO_ON
    if marks.ended is not None and not made_way:
        ends = (Phase.PUBLISH, State.DONE), (Phase.ROLLBACK, State.ROLLED_BACK)
        return Takeover.CLOSE if (ctl.phase, marks.ended) in ends else Takeover.STOP
    if marks.begun and ctl.phase is Phase.PREPARE:
        return Takeover.STOP
    if marks.published and ctl.phase in {Phase.SEAL, Phase.STANDSTILL}:
        return Takeover.PUBLISH
    if marks.published and ctl.phase is not Phase.PUBLISH:
        return Takeover.STOP
    return Takeover.GO_ON


def gone_back(ctl: Ctl, marks: StoreMarks) -> Failure:
    """The failure of an attempt that `Takeover.STOP` ends."""
    if marks.behind:
        why = marks.behind
    elif marks.newest > ctl.epoch:
        why = f"the store knows of epoch {marks.newest}"
    else:
        over = "was published" if marks.published else "has changed the cluster"
        over = f"ended as {marks.ended}" if marks.ended else over
        why = f"the store knows that this attempt {over}"
    message = f"etcd has gone back ({ctl.kind} in {ctl.phase} at epoch {ctl.epoch}): {why}"
    return Failure(reason="REFUSED", message=message, hint=BEHIND_HINT)


def refused_behind(behind: str) -> Failure:
    """The failure of an operation that may not begin."""
    return Failure(reason="REFUSED", message=f"etcd has gone back: {behind}", hint=BEHIND_HINT)
