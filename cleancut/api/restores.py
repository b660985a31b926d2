"""Restores as the API shows them: plans, options and progress."""

from __future__ import annotations

from cleancut.api.values import AgentProgress, ApiValue, Attempt, OperationError, Time
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.states import State


class RestoredCollection(ApiValue, frozen=True):
    """`published_as` is empty before PUBLISHING; what is compared is None while unknown."""

    name: str
    published_as: str = ""
    shards: int = 0
    counts_equal: bool | None = None
    replicas_active: bool = False
    created_as: str = ""
    aliases: tuple[str, ...] = ()
    schema_equal: bool | None = None
    keys_equal: bool | None = None
    sample_queries_equal: bool | None = None
    status: str = ""


class KeptCollection(ApiValue, frozen=True):
    """Old data that aliases pointed to before a restore replaced them."""

    collection: str
    aliases: tuple[str, ...] = ()


class OverwrittenCollection(ApiValue, frozen=True):
    """A collection that a restore overwrites, and the backup of it that is made before.
    `held_until`: None, if that backup is not held."""

    collection: str
    backup_id: str = ""
    backup_epoch: int = 0
    held_until: Time | None = None


class RestoredLog(ApiValue, frozen=True):
    """The entries of one shard's log that are replayed: from `first` to `last`, but `left_out`."""

    collection: str
    shard_id: int
    chain: str
    first: int = 0
    last: int = 0
    left_out: tuple[int, ...] = ()


class RestoredMoment(ApiValue, frozen=True):
    """The moment that a restore goes to; see RestoredMoment in restore.proto."""

    at: Time | None = None
    mark: str = ""
    consistency: Consistency = Consistency.PER_SHARD
    skew_ms: int = 0
    distance_ms: int = 0
    operations: int = 0
    log_bytes: int = 0
    replay_s: float = 0.0
    logs: tuple[RestoredLog, ...] = ()
    at_ms: int = 0


class Restore(ApiValue, frozen=True):
    """One restore operation."""

    id: str
    backup_id: str = ""
    backup_epoch: int = 0
    state: State = State.PENDING
    created_at: Time | None = None
    ended_at: Time | None = None
    collections: tuple[RestoredCollection, ...] = ()
    error: OperationError | None = None
    progress: tuple[AgentProgress, ...] = ()
    warnings: tuple[str, ...] = ()
    kept: tuple[KeptCollection, ...] = ()
    rebalance_id: str = ""
    reshard_ids: tuple[str, ...] = ()
    moment: RestoredMoment | None = None
    attempt_history: tuple[Attempt, ...] = ()
    overwritten: OverwrittenCollection | None = None


class PlannedCollection(ApiValue, frozen=True):
    """A collection as it would come back. `action`: create | beside | replace | overwrite | repair
    | refuse."""

    name: str
    published_as: str = ""
    shards: int = 0
    replicas: int = 0
    size_bytes: int = 0
    action: str = ""
    created_as: str = ""
    aliases: tuple[str, ...] = ()
    exists: str = ""
    reason: str = ""


class PlannedPeer(ApiValue, frozen=True):
    """Upper bounds of what one peer may come to hold (Qdrant places shards at the create)."""

    peer_id: int
    agent: str = ""
    shards_max: int = 0
    size_bytes_max: int = 0
    free_bytes: int | None = None


class PlannedReshard(ApiValue, frozen=True):
    """A change of the number of shards; see PlannedReshard in restore.proto."""

    collection: str
    shard_key: str | None = None
    shards: int = 0
    wanted: int = 0
    steps: int = 0
    size_bytes: int = 0
    estimated_s: float = 0.0
    way: str = ""
    scratch_bytes: int = 0


class RestoreEstimate(ApiValue, frozen=True):
    """How long a restore takes, and what that rests on; see RestoreEstimate in restore.proto."""

    least_s: float = 0.0
    most_s: float = 0.0
    restores: int = 0
    slowest_bytes_per_s: float = 0.0
    fastest_bytes_per_s: float = 0.0


class RestorePlan(ApiValue, frozen=True):
    """What a restore would do; it can start if there are no `blockers`. `estimated_s`: at the usual
    rate, for the peer that may have to read most; `estimate`: the range around it."""

    backup_id: str
    backup_epoch: int = 0
    collections: tuple[PlannedCollection, ...] = ()
    peers: tuple[PlannedPeer, ...] = ()
    source_version: str = ""
    target_version: str = ""
    warnings: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()
    digest: str = ""
    size_bytes: int = 0
    estimated_s: float | None = None
    moment: RestoredMoment | None = None
    reshards: tuple[PlannedReshard, ...] = ()
    estimate: RestoreEstimate | None = None


class Rename(ApiValue, frozen=True):
    old_name: str
    new_name: str


class ShardNumber(ApiValue, frozen=True):
    """A number of shards; see ShardNumber in restore.proto."""

    shards: int
    of: str = ""


class MomentOptions(ApiValue, frozen=True):
    """A moment to roll a backup forward to; see MomentOptions in restore.proto."""

    at: str | None = None
    mark: str = ""
    before: str = ""
    without: str = ""
    exact: bool = False
    force: bool = False


class RestoreOptions(ApiValue, frozen=True):
    """What is to come back, under which names, and where; see RestoreOptions in restore.proto."""

    collections: tuple[str, ...] = ()
    from_cluster: str = ""
    renames: tuple[Rename, ...] = ()
    beside: bool = False
    replace: bool = False
    replicas: int = 0
    only_shards: tuple[int, ...] = ()
    peer_id: int | None = None
    rebalance: bool = False
    strict: bool = False
    accept_count: bool = False
    target: MomentOptions | None = None
    from_store: str = ""
    quotas: bool = False
    shards: tuple[ShardNumber, ...] = ()
    offline: bool = False
    overwrite: bool = False
    confirm: str = ""


class RestorePage(ApiValue, frozen=True):
    """Newest first; the last page has no `next_page_token`."""

    restores: tuple[Restore, ...] = ()
    next_page_token: str = ""
