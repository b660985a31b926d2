"""The backup's phases as data, and the work that its machine asks of the coordinator's shell.

`TRANSITIONS` is complete: the machine asserts that it makes no other change of phase, and
ARCHITECTURE's diagram is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from cleancut.core.format.story import BackupStory
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId
from cleancut.core.protocol.documents import Canaries
from cleancut.core.protocol.effect_requests import Drain, Probe
from cleancut.core.protocol.etcd_records import Ctl, ShardTask, UnusableReplica
from cleancut.core.protocol.fence import Fence, FenceSeen
from cleancut.core.protocol.requests import BackupRequest, SeedRequest
from cleancut.core.protocol.states import FENCED, Phase, State

TRANSITIONS: dict[tuple[Phase, Phase], str] = {
    (Phase.IDLE, Phase.PREPARE): "an operation gets its turn",
    (Phase.ABORT, Phase.PREPARE): "an operation gets its turn",
    (Phase.PREPARE, Phase.FENCE): "views agree, all are ready, a fence is needed for the cuts",
    (Phase.FENCE, Phase.CUT): "all see the fence raised, drained",
    (Phase.PREPARE, Phase.CUT): "views agree, all are ready, drained",
    (Phase.CUT, Phase.SEAL): "all have cut, drained again",
    (Phase.SEAL, Phase.UPLOAD): "all read again, views unchanged",
    (Phase.SEAL, Phase.STANDSTILL): "all read again, something moved, all logs are followed",
    (
        Phase.STANDSTILL,
        Phase.STANDSTILL,
    ): "all read again, something moved since the last round",
    (Phase.STANDSTILL, Phase.FENCE): "something moved in all rounds, a fence is asked for",
    (Phase.FENCE, Phase.STANDSTILL): "all see the fence raised, after the cuts",
    (Phase.STANDSTILL, Phase.UPLOAD): "no log grew between two rounds, or none was found in time",
    (Phase.UPLOAD, Phase.COMMIT): "all is stored, the backup is decided",
    (Phase.COMMIT, Phase.IDLE): "the manifest is published",
    (Phase.PREPARE, Phase.ABORT): "a no, a bound, a lost session or leader",
    (Phase.FENCE, Phase.ABORT): "a no, a bound, the budget, a lost session or leader",
    (Phase.CUT, Phase.ABORT): "a no, a bound, a lost session or leader",
    (Phase.SEAL, Phase.ABORT): "a no, a bound, a lost session, views moved, not point-in-time",
    (
        Phase.STANDSTILL,
        Phase.ABORT,
    ): "a no, a bound, the budget, a lost session or leader, not point-in-time",
    (Phase.UPLOAD, Phase.ABORT): "a no or a bound",
    (Phase.COMMIT, Phase.ABORT): "its manifest cannot be published: an operator is needed",
}
"""Every change of phase of a backup, with its cause; ARCHITECTURE's diagram is made from it."""

SEED_TRANSITIONS: dict[tuple[Phase, Phase], str] = {
    (Phase.IDLE, Phase.PREPARE): "an operation gets its turn",
    (Phase.ABORT, Phase.PREPARE): "an operation gets its turn",
    (Phase.PREPARE, Phase.UPLOAD): "views agree, all are ready",
    (Phase.UPLOAD, Phase.IDLE): "all have read their shards to the end",
    (Phase.PREPARE, Phase.ABORT): "a no, a bound, a lost session or leader",
    (Phase.UPLOAD, Phase.ABORT): "a no or a bound",
}
"""Every change of phase of a seed, with its cause."""

PUBLISH_S = 60.0
"""How long a publication is tried again although the store's answer says that it cannot succeed."""

STATE_OF = {
    Phase.PREPARE: State.PREPARING,
    Phase.FENCE: State.FENCING,
    Phase.CUT: State.CUTTING,
    Phase.SEAL: State.SEALING,
    Phase.STANDSTILL: State.SEALING,
    Phase.UPLOAD: State.UPLOADING,
    Phase.COMMIT: State.COMMITTING,
    Phase.IDLE: State.COMMITTED,
}
SEED_STATE_OF = {
    Phase.PREPARE: State.PREPARING,
    Phase.UPLOAD: State.UPLOADING,
    Phase.IDLE: State.SEEDED,
}
NEEDS_SESSIONS = FENCED | {Phase.PREPARE}


@dataclass(frozen=True, slots=True)
class Assign:
    """Read the agreed view, configs and parents; stage the draft. Result: `Assigned`. `unusable`:
    replicas that earlier attempts could not read. `patient`: fails with `moving` while shards are
    on their way; else such a collection is one that cannot be backed up.

    For a seed: record its start in the store, and stage nothing.
    """

    epoch: Epoch
    operation: OperationId
    view_object: str
    members: tuple[AgentName, ...]
    request: BackupRequest | SeedRequest
    unusable: tuple[UnusableReplica, ...] = ()
    patient: bool = True


@dataclass(frozen=True, slots=True)
class Raise:
    """Raise the fence."""

    epoch: Epoch
    fence: Fence


@dataclass(frozen=True, slots=True)
class DrainWrites:
    """Wait for the writes that began before the fence. Order: after every agent has seen the fence
    on its local peer: while a replica hangs, this blocks all alias changes, lifting included."""

    epoch: Epoch
    fence: Fence


@dataclass(frozen=True, slots=True)
class StoreCanaries:
    """Store what was read inside the cut. Not waited for: the group is valid without it."""

    epoch: Epoch
    canaries: Canaries


@dataclass(frozen=True, slots=True)
class Compare:
    """Compare payload indexes and vectors with the draft's: the agents' views lack the former, and
    are older than a standstill. Result: None; fails, if one was changed meanwhile."""

    epoch: Epoch
    draft: str


@dataclass(frozen=True, slots=True)
class Stage:
    """Build and store the manifest from the draft and the votes' documents. Result: its sha256.

    `seen`: the agents' observations of the fence; empty without one. `require_point_in_time`: no
    manifest, if replicas disagree. `story`: what the manifest says of the attempts.
    """

    epoch: Epoch
    ctl: Ctl
    documents: tuple[tuple[AgentName, str], ...]
    seen: tuple[FenceSeen, ...] = ()
    require_point_in_time: bool = False
    story: BackupStory | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """Copy the staged manifest to its place in the catalog and read it back. Repeatable."""

    epoch: Epoch
    manifest: str


@dataclass(frozen=True, slots=True)
class Assigned:
    """The staged draft's sha256 ("" for a seed), its collections in order, each member's shards,
    and the fence to raise."""

    draft: str
    collections: tuple[str, ...]
    tasks: dict[AgentName, tuple[ShardTask, ...]]
    fence: Fence | None = None


BarrierEffect = (
    Probe | Assign | Raise | DrainWrites | Drain | StoreCanaries | Compare | Stage | Publish
)
