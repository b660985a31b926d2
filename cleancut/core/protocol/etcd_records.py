"""Records in etcd and in the small documents of a store.

Unknown fields of newer versions are ignored on reading, so processes of neighbouring versions
understand each other.
"""

from __future__ import annotations

from enum import StrEnum

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import (
    AgentName,
    Epoch,
    FencingToken,
    OperationId,
    PeerId,
    Sha256,
    ShardId,
)
from cleancut.core.primitives.record_times import Time
from cleancut.core.protocol.moment import ShardMoment
from cleancut.core.protocol.requests import Selection
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.protocol.trace import Trace


class SickCollection(Record, frozen=True):
    """A collection that cannot be backed up now, and why."""

    name: str
    reason: str


class UnusableReplica(Record, frozen=True):
    """A replica that is Active to consensus and cannot be read at its peer."""

    collection: str
    shard_id: ShardId
    peer_id: PeerId


class Away(StrEnum):
    """How agents that an attempt needs are missing: from its beginning, or since then."""

    NEVER_CAME = "never came"
    LEFT = "left"


class Failure(Record, frozen=True):
    """An error as it is stored and shown. `reason` names the kind (see `errors.KINDS`). `sick`: the
    collections that cause it, if the others are not concerned. `unusable`: replicas that another
    attempt has to do without. `moving`: shards are on their way, and will arrive. `away`: agents
    are missing, and nothing else."""

    reason: str
    message: str
    hint: str = ""
    sick: tuple[SickCollection, ...] = ()
    unusable: tuple[UnusableReplica, ...] = ()
    moving: bool = False
    away: Away | None = None


class Bounds(Record, frozen=True):
    """Time limits of the steps, in seconds; every process starts its own clock on the event."""

    prepare_s: float = 30.0
    optimizing_s: float = 60.0  # on top of that, for running optimizations
    moving_s: float = 120.0  # for shards on their way, instead of prepare_s
    drain_s: float = 5.0
    cut_s: float = 10.0
    seal_s: float = 10.0
    standstill_s: float = 5.0  # how long a moment without writes is looked for
    per_shard_s: float = 0.05  # more for CUT and SEAL, for each shard of the fullest member
    upload_s: float = 86400.0
    stalled_s: float = 600.0
    create_s: float = 120.0
    recover_s: float = 86400.0
    verify_s: float = 600.0
    publish_s: float = 60.0
    move_s: float = 86400.0
    seed_s: float = 7 * 86400.0


class Ctl(Record, frozen=True):
    """The open attempt, at most 4 KiB; the only key that agents follow.

    It holds what a successor needs and cannot read elsewhere (skew, drains, digests).
    """

    kind: OperationKind = OperationKind.BACKUP
    phase: Phase = Phase.IDLE
    epoch: Epoch = Epoch(0)
    operation: OperationId = OperationId("")
    attempt: int = 1
    bounds: Bounds = Bounds()
    probe: str = ""  # the nonce in the coordinator's probe object
    streams: int = 0  # of a seed: how many shards an agent reads at a time
    speaker: FencingToken = FencingToken(
        0
    )  # the member by whose view shards are assigned; 0: all report first
    assigned: str = ""  # sha256 over all assignments
    views: str = ""  # sha256 of the view that all agents agreed on
    draft: str = ""  # sha256 of the staged document that describes this attempt
    undrained: tuple[int, ...] = ()  # indexes into the draft's collections
    skew_ms: int = -1
    round: int = 0  # of STANDSTILL, or of a restore's PUBLISH: each one is a reading of all shards
    standstill: int = 0  # the round to whose ends logs are stored; 0: none
    moved: int = -1  # of two rounds, the fewest shards that were written to in between; -1: none
    window_ms: int = -1  # how long it took between these two
    waited_ms: int = -1  # from the first round on
    unstill: str = ""  # why shards had moved since the round before; "": none had
    fenced: bool = False  # a fence was raised: before the cuts, or before a round of STANDSTILL
    fence_ms: int = -1  # from its raising to the last vote of SEAL, or of the last round
    cut_at: str = (
        ""  # RFC 3339, UTC, of the coordinator's clock at the put of CUT; the round of COUNT
    )
    canaries: str = ""  # sha256 of the staged answers that were read inside the cut
    manifest: str = ""  # sha256 of the staged manifest that COMMIT decided on
    failure: Failure | None = None
    nonce: str = ""


class ShardState(Record, frozen=True):
    """What a reading says of the shard besides its number.

    `status`: Qdrant's word; "" for a shard that is not loaded, or that a transfer wraps.
    `segment`: uuid of one of its segments; later readings name the same one while it exists.
    `optimizing`: optimizations under way; -1 if unknown. `optimized_at`: when the newest one
    began, by the peer's clock; "" for none.
    """

    status: str = ""
    segment: str = ""
    optimizing: int = -1
    optimized_at: str = ""


class Reading(Record, frozen=True):
    """A shard's number with what it means something within.

    `incarnation`: app.startup of the peer. `arrivals`: recoveries, uploads and incoming transfers
    counted by the peer since then; -1 if unknown. `state`: None if unknown.
    """

    number: int | None
    incarnation: str
    arrivals: int = -1
    state: ShardState | None = None


class WalEnd(Record, frozen=True):
    """Where the log of a shard (its WAL) ends. `log`: which log it is, by the identity of its
    directory; `index`: of its last entry, -1 if it has none."""

    log: str
    index: int


class Standstill(Record, frozen=True):
    """The ends of a shard's log in two rounds: all shards were read in the one before any was read
    in the other. It is one if they are the same for all shards; else each log is only stored to
    `after`. `first`: of the entries that are stored with the shard, up to the end; -1: none, it is
    stored as it was cut. `ack`: the first entry that was not flushed before the cut. `by_state`:
    some of those that the cut may hold already choose points by a filter or a condition, and the
    Qdrant that logged them may replay such ones with another result.

    Unit: `wal_bytes` of the entries' data.
    """

    round: int
    before: WalEnd
    after: WalEnd
    ack: int = -1
    first: int = -1
    wal_bytes: int = 0
    by_state: bool = False


class Parent(Record, frozen=True):
    """What a parent's quiet entry says of the shard: its second reading, the collection's uuid and
    the shard's key. Only a quiet entry may be a parent in this sense."""

    second: Reading
    uuid: str
    shard_key: str | int | None = None


class ShardTask(Record, frozen=True):
    """One shard of an agent's assignment.

    Backup: `recipe` is the parent's digest. Restore: `recipe` is what to recover, `collection` the
    name that it is recovered under, and `source` the cluster whose catalog holds it ("": the own),
    in the store of the name `store` ("": the main one).
    `tar_sha256` is "" if none is known, or if its log is exchanged; only then `size_bytes` is about
    its length.
    `repair`: a lost shard of a live collection, so others may write to it. `accept_count`: it may
    hold more points than the backup says. `uuid`: of the
    collection that it is recovered into; "", if Qdrant makes none up.
    """

    collection: str
    shard_id: ShardId
    peer_id: PeerId
    index: int = -1  # of the collection in the draft
    recipe: str = ""
    parent: Parent | None = None  # of a quiet parent on the same peer
    tar_sha256: str = ""
    size_bytes: int = 0
    count: int | None = None
    accept_count: bool = False
    source: str = ""
    repair: bool = False
    uuid: str = ""
    full: bool = False  # of a backup: nothing that is stored already is reused
    audit: bool = False  # of a backup: what is captured from the disk is streamed too, and compared
    shard_key: str | int | None = None
    old_ring: tuple[ShardId, ...] = ()  # of a reshard: shards with that key before its step
    new_ring: tuple[ShardId, ...] = ()  # and after it
    buckets: int = 0  # of a reshard: into how many its sums are divided
    last_entry: int = -1  # of a restore: the number that its replayed log ends with; -1: no log
    replay: ShardMoment | None = None  # of a restore: entries of the archive, as its log
    store: str = ""


class EpochMember(Record, frozen=True):
    """`member/<epoch>/<agent>`: a participant's session and its tasks. `old`: of a restore that
    overwrites a collection, the shards of it that are read once more before, and nothing else."""

    session: FencingToken
    tasks: tuple[ShardTask, ...] = ()
    assigned: bool = False
    nonce: str = ""
    old: tuple[ShardTask, ...] = ()


class Concern(Record, frozen=True):
    """Something about its peer or the store that an agent found. `kind` is stable."""

    kind: str
    what: str


class Coordinator(Record, frozen=True):
    """`coordinator/<name>`, leased: a coordinator that leads or stands by. `key`: hex of the public
    key by which it signs what it forwards. `certificate`: PEM of its API's; "" without TLS."""

    name: str
    address: str
    version: str
    key: str = ""
    certificate: str = ""


class CheckUnderWay(Record, frozen=True):
    """`check`, leased: the verification or drill that the leader was asked for and runs now."""

    kind: str
    backup: str
    began_at: Time
    asked_by: str = ""
    nonce: str = ""


class Session(Record, frozen=True):
    """`sess/<agent>`, leased. `peers` are the peer ids that the agent's local peer knows.

    `free_bytes`: where that peer keeps its data, in whole steps (`target.FREE_STEP`); -1: unknown.
    `clock`: RFC 3339, the agent's clock when it wrote this; written again every few minutes.
    `problem`: why the peer cannot be used while `peer_id` is None. `concerns`: what was found when
    its capabilities and its health were tried last. `wal`: why the logs of its shards cannot be
    followed, so that snapshots are all there is; empty: they can; None: not known. `capture`: why
    nothing of its segments can be captured from the disk, so that Qdrant streams all of them; as
    `wal`. `stores`: names of the further stores that it can read. `spill_max_bytes`: what it may
    spill at most, whatever the settings say; None: no bound of its own. `engine`: why shards of a
    backup cannot be opened in its process; as `wal`.
    """

    name: AgentName
    version: str
    peer_id: PeerId | None = None
    qdrant_version: str = ""
    peers: tuple[PeerId, ...] = ()
    url: str = ""
    free_bytes: int = -1
    clock: str = ""
    problem: str = ""
    concerns: tuple[Concern, ...] = ()
    wal: str | None = None
    capture: str | None = None
    nonce: str = ""
    stores: tuple[str, ...] = ()
    spill_max_bytes: int | None = None
    engine: str | None = None


class Seeded(Record, frozen=True):
    """The result of a seed: shards that were read to their end, the bytes of their tars, those of
    them that the store did not have yet, and the bytes stored for these."""

    shards: int = 0
    read_bytes: int = 0
    new_bytes: int = 0
    stored_bytes: int = 0


class Vote(Record, frozen=True):
    """`vote/<epoch>/<phase>/<agent>`: `yes` or a failure, and what the phase asks for.

    Order of all lists: that of the member's tasks.
    """

    session: FencingToken
    yes: bool
    failure: Failure | None = None
    view: str = ""  # sha256 of the canonical view
    view_object: str = ""  # name of its body among the epoch's probe objects
    probe: str = ""  # the nonce read from the coordinator's probe object
    ready: str = ""  # sha256 of the tasks this agent has taken and prepared for
    numbers: tuple[int | None, ...] = ()
    states: tuple[ShardState, ...] = ()  # backup: with the numbers
    incarnation: str = ""  # app.startup of the peer
    arrivals: int = -1  # recoveries and incoming transfers since then, from telemetry
    fenced: bool = False  # the fence stands on the local peer
    document: str = ""  # sha256 of votes/<epoch>/<agent>/<sha256>.json
    seeded: Seeded | None = None
    follows: bool = False  # backup, PREPARE: it follows the log of each of its shards
    round: int = 0  # backup, STANDSTILL; restore, PUBLISH: the round that this is of
    ends: str = ""  # sha256 over where each shard's log ends
    moved: int = -1  # of them, those that have grown since the round before; -1: none before
    lost: str = ""  # why they cannot be followed any more, instead
    optimizing: int = 0  # backup, PREPARE: of its shards, those that Qdrant optimizes now
    free_bytes: int = -1  # backup: of the spill; restore: where the peer keeps its data
    took_ms: int = 0  # from its sight of the phase to this vote, by its own clock
    read_bytes: int = 0  # of tars, by this process in this epoch so far; for people
    stored_bytes: int = 0  # what the store has taken of them
    nonce: str = ""


class ProgressRecord(Record, frozen=True):
    """`progress/<epoch>/<agent>`, leased: for people, and that something moves. `done_bytes`: of
    tars; `total_bytes` 0: unknown; `stored_bytes`: what the store has taken of a backup;
    `to_store_bytes`: of what it is to take, 0: unknown."""

    phase: str
    done_bytes: int = 0
    total_bytes: int = 0
    stored_bytes: int = 0
    rate: float = 0.0  # bytes a second
    to_store_bytes: int = 0


class Awaited(Record, frozen=True):
    """The agents that a pending operation waits for. `peers`: those that took part in its last
    attempt; `lost`: one of them is missing, otherwise one besides them. `since`, `until`: RFC 3339,
    UTC; the wait is over then. `what`: for people."""

    peers: tuple[PeerId, ...] = ()
    lost: bool = False
    since: Time = ""
    until: Time = ""
    what: str = ""


class Operation(Record, frozen=True):
    """`op/<id>`: a request and its outcome. Kept for 48 h, and until its story is in the store.
    `after` must be over first. `excused`: those of its attempts that are not counted, since agents
    were away. `asked_by`: the client, by its token or certificate. `traces`: of its newest
    attempts, the oldest first. `recorded`: its story is in the store."""

    id: OperationId
    kind: OperationKind
    state: State
    request: str  # canonical JSON of the request
    request_id: str = ""
    epoch: Epoch = Epoch(0)  # of the newest attempt
    attempts: int = 0
    created_at: Time = ""
    ended_at: Time = ""
    failure: Failure | None = None
    cancelled: bool = False
    detail: str = ""  # sha256 of a store document with more (restore: its report)
    after: OperationId = OperationId("")
    seeded: Seeded | None = None  # of a seed that is done
    unusable: tuple[UnusableReplica, ...] = ()  # found by earlier attempts of a backup
    detail_epoch: Epoch = Epoch(0)  # of a reshard, a restore: the attempt whose document that is
    # Of a reshard: the number of shards after its last step; 0: unknown. Of an undelete: points
    # that were put back.
    reached: int = 0
    turns: int = 0  # how often it has let operations go first that had fewer
    nonce: str = ""
    excused: int = 0
    awaited: Awaited | None = None
    asked_by: str = ""
    traces: tuple[Trace, ...] = ()
    recorded: bool = False

    @property
    def detail_at(self) -> Epoch:
        """The attempt whose document `detail` is."""
        return self.detail_epoch or self.epoch

    @property
    def counted(self) -> int:
        """Its attempts so far, without those that are not counted."""
        return self.attempts - self.excused


class Group(Record, frozen=True):
    """`group/<epoch>`: the decision that this epoch is a group, and the manifest's digest."""

    epoch: Epoch
    operation: OperationId
    manifest: Sha256
    nonce: str = ""


class Leader(Record, frozen=True):
    """`leader`, leased: the leading coordinator and the address of its API."""

    name: str
    address: str
    nonce: str = ""


class ProbeObject(Record, frozen=True):
    """The coordinator's probe object of an epoch: `nonce` proves that an agent sees the same store,
    `selection` says which collections its view is of."""

    nonce: str
    selection: Selection = Selection()


class Owner(Record, frozen=True):
    """`owner/<n>.json` of a store: the cluster whose backups it holds. The greatest n counts."""

    cluster_id: str
