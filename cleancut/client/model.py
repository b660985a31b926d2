"""What the API tells about operations and the cluster: frozen values, and their JSON.

These are the shapes of `-o json` as well as of the Python client. Field names equal those of
proto/cleancut/v1 (a test proves it), so `wire` can translate both ways without a list of fields.
What is unknown is None, and always present. Nothing here does I/O.
"""

from __future__ import annotations

from cleancut.client.model_base import SCHEMA as SCHEMA
from cleancut.client.model_base import AgentProgress as AgentProgress
from cleancut.client.model_base import OperationError as OperationError
from cleancut.client.model_base import Shown as Shown
from cleancut.client.model_rebalance import BalancedPeer as BalancedPeer
from cleancut.client.model_rebalance import BalanceStep as BalanceStep
from cleancut.client.model_rebalance import Rebalance as Rebalance
from cleancut.client.model_rebalance import RebalanceOptions as RebalanceOptions
from cleancut.client.model_rebalance import RebalancePage as RebalancePage
from cleancut.client.model_rebalance import RebalancePlan as RebalancePlan
from cleancut.records import FINAL_STATES, Failure, State


class ShardEvidence(Shown, frozen=True):
    """The raw numbers that prove, or disprove, that one shard was quiet."""

    collection: str
    shard_id: int
    peer_id: int
    number_1: int | None = None
    number_2: int | None = None
    quiet: bool = False
    count: int | None = None
    drained: bool = False
    doubt: str = ""


class FenceEvidence(Shown, frozen=True):
    """How writes were held off. `seen_by`: agents that saw it on their own peer before and after
    all readings. `held_ms`: from its raising to the last reading, on the coordinator's clock."""

    aliases: tuple[str, ...] = ()
    hooked: tuple[str, ...] = ()
    seen_by: tuple[str, ...] = ()
    held_ms: int | None = None


class Evidence(Shown, frozen=True):
    """`grade`: fenced | quiet | bounded. `skew_ms` is an upper bound, on one clock. `canaries`: how
    many exact searches were answered inside the cut, of collections that were quiet."""

    grade: str = "bounded"
    skew_ms: int | None = None
    shards: tuple[ShardEvidence, ...] = ()
    canaries: int = 0
    fence: FenceEvidence | None = None


class BackupBytes(Shown, frozen=True):
    """`protected`: what a restore writes; `new` and `stored`: added, before and after packing."""

    protected: int = 0
    new: int = 0
    stored: int = 0


class Seed(Shown, frozen=True):
    """What a seed is. `shards`, and the bytes `read` of their tars: of its last attempt, once it is
    SEEDED."""

    streams: int = 0
    shards: int = 0
    read: int = 0


class Backup(Shown, frozen=True):
    """One backup operation, and its group once it is COMMITTED. Times are RFC 3339, UTC.
    `seed`: it is one, and makes no group.
    `schedule`: the one that asked for it, "" for a user. `holds`: labels that keep it from being
    deleted; not in lists."""

    id: str
    epoch: int = 0
    state: State = State.PENDING
    created_at: str | None = None
    cut_at: str | None = None
    ended_at: str | None = None
    collections: tuple[str, ...] = ()
    evidence: Evidence | None = None
    bytes: BackupBytes = BackupBytes()
    error: OperationError | None = None
    attempt: int = 0
    attempts: int = 0
    progress: tuple[AgentProgress, ...] = ()
    warnings: tuple[str, ...] = ()
    schedule: str = ""
    holds: tuple[str, ...] = ()
    seed: Seed | None = None


class RestoredCollection(Shown, frozen=True):
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
    canaries_equal: bool | None = None
    status: str = ""


class KeptCollection(Shown, frozen=True):
    """Old data that aliases pointed to before a restore replaced them."""

    collection: str
    aliases: tuple[str, ...] = ()


class Restore(Shown, frozen=True):
    """One restore operation."""

    id: str
    backup_id: str = ""
    backup_epoch: int = 0
    state: State = State.PENDING
    created_at: str | None = None
    ended_at: str | None = None
    collections: tuple[RestoredCollection, ...] = ()
    error: OperationError | None = None
    progress: tuple[AgentProgress, ...] = ()
    warnings: tuple[str, ...] = ()
    kept: tuple[KeptCollection, ...] = ()
    rebalance_id: str = ""


Operation = Backup | Restore | Rebalance


class PlannedCollection(Shown, frozen=True):
    """One collection as it would come back. `action`: create | beside | replace | heal | refuse."""

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


class PlannedPeer(Shown, frozen=True):
    """Upper bounds of what one peer may come to hold (Qdrant places shards at the create)."""

    peer_id: int
    agent: str = ""
    shards_max: int = 0
    size_bytes_max: int = 0
    free_bytes: int | None = None


class RestorePlan(Shown, frozen=True):
    """What a restore would do; it can start if there are no `obstacles`."""

    backup_id: str
    backup_epoch: int = 0
    collections: tuple[PlannedCollection, ...] = ()
    peers: tuple[PlannedPeer, ...] = ()
    source_version: str = ""
    target_version: str = ""
    warnings: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    digest: str = ""
    size_bytes: int = 0
    estimated_s: float | None = None


class Rename(Shown, frozen=True):
    old_name: str
    new_name: str


class RestoreOptions(Shown, frozen=True):
    """What is to come back, under which names, and where; see RestoreOptions in restore.proto."""

    collections: tuple[str, ...] = ()
    from_cluster: str = ""
    renames: tuple[Rename, ...] = ()
    beside: bool = False
    replace: bool = False
    replicas: int = 0
    shards: tuple[int, ...] = ()
    peer_id: int | None = None
    rebalance: bool = False


class CoordinatorStatus(Shown, frozen=True):
    name: str
    address: str = ""
    leader: bool = False
    version: str = ""


class AgentStatus(Shown, frozen=True):
    """`peer_id` is None while its Qdrant does not answer, or runs without cluster mode."""

    name: str
    version: str = ""
    peer_id: int | None = None
    qdrant_version: str = ""
    phase: str = ""


class OpenOperation(Shown, frozen=True):
    """What holds the cluster's one turn. `kind`: backup | seed | restore | rebalance."""

    id: str
    kind: str
    epoch: int = 0
    phase: str = ""


class OpenFence(Shown, frozen=True):
    """Writes by these aliases, or to these collections, are held off."""

    epoch: int
    aliases: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    budget_s: float = 0.0


class StoreStatus(Shown, frozen=True):
    """`url` without credentials; `groups` counts the catalog."""

    url: str
    reachable: bool = False
    groups: int = 0


class Identity(Shown, frozen=True):
    """Whose store this is; backups, deletes and sweeps need both ids to be equal."""

    cluster_id: str
    store_cluster_id: str = ""
    equal: bool = False


class ClusterStatus(Shown, frozen=True):
    """The cluster as the coordinator sees it; `leader` is empty while there is none."""

    cluster: str
    leader: str = ""
    coordinators: tuple[CoordinatorStatus, ...] = ()
    agents: tuple[AgentStatus, ...] = ()
    open_operation: OpenOperation | None = None
    store: StoreStatus | None = None
    identity: Identity | None = None
    warnings: tuple[str, ...] = ()
    open_fence: OpenFence | None = None


class BackupPage(Shown, frozen=True):
    """Newest first, evidence without its shards; the last page has no `next_page_token`."""

    backups: tuple[Backup, ...] = ()
    next_page_token: str = ""


class RestorePage(Shown, frozen=True):
    """Newest first; the last page has no `next_page_token`."""

    restores: tuple[Restore, ...] = ()
    next_page_token: str = ""


def is_over(operation: Operation) -> bool:
    """True if nothing more will happen to it by itself."""
    return operation.state in FINAL_STATES


def shown_error(failure: Failure | None) -> OperationError | None:
    """A recorded failure as the API shows it."""
    if failure is None:
        return None
    return OperationError(reason=failure.reason, message=failure.message, hint=failure.hint)
