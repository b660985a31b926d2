"""Cluster as the API shows it: status, diagnosis, and peers that are given up."""

from __future__ import annotations

from cleancut.api.values import ApiValue, Time


class DoctorFix(ApiValue, frozen=True):
    """One step. `command`: a command or call to paste, or "". `effect`: safe | loses-data."""

    command: str = ""
    effect: str = "safe"
    what: str = ""


class DoctorFinding(ApiValue, frozen=True):
    """One thing that is not as it should be. `severity`: error | warning | info. `fixes`: in the
    order in which to try them, safe ones first."""

    kind: str
    severity: str
    what: str
    fixes: tuple[DoctorFix, ...] = ()


class Diagnosis(ApiValue, frozen=True):
    """Errors first; nothing for a healthy cluster."""

    findings: tuple[DoctorFinding, ...] = ()


class PeerLoss(ApiValue, frozen=True):
    """What one collection loses with a peer: shards whose only Active replica is there, and those
    that stay with fewer replicas."""

    collection: str
    lost_shards: tuple[int, ...] = ()
    thinner_shards: tuple[int, ...] = ()


class ForgottenPeer(ApiValue, frozen=True):
    """A peer that was forgotten, or would be; `findings` say what is to be done then. `named`: by
    its agent and its id, for people."""

    peer_id: int
    uri: str = ""
    losses: tuple[PeerLoss, ...] = ()
    forgotten: bool = False
    findings: tuple[DoctorFinding, ...] = ()
    named: str = ""


class CoordinatorStatus(ApiValue, frozen=True):
    name: str
    address: str = ""
    leader: bool = False
    version: str = ""


class AgentStatus(ApiValue, frozen=True):
    """`peer_id` is None while its Qdrant does not answer, or runs without cluster mode.
    `snapshots_only`: why it does not read its shards' logs; empty: it does; None: not known.
    `streams_only`: why it captures nothing of their segments from the disk; likewise."""

    name: str
    version: str = ""
    peer_id: int | None = None
    qdrant_version: str = ""
    phase: str = ""
    snapshots_only: str | None = None
    streams_only: str | None = None


class OpenOperation(ApiValue, frozen=True):
    """What holds the cluster's one turn. `kind`: backup | seed | restore | rebalance."""

    id: str
    kind: str
    epoch: int = 0
    phase: str = ""


class OpenCheck(ApiValue, frozen=True):
    """A verification or drill that the leader was asked for. `kind`: verify | drill."""

    kind: str
    backup: str
    began_at: Time | None = None
    asked_by: str = ""


class OpenFence(ApiValue, frozen=True):
    """Writes by these aliases, or to these collections, are held off."""

    epoch: int
    aliases: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    budget_s: float = 0.0


class StoreStatus(ApiValue, frozen=True):
    """`url` without credentials; `backups`: how many the catalog holds."""

    url: str
    reachable: bool = False
    backups: int = 0


class Identity(ApiValue, frozen=True):
    """Whose store this is; backups, deletes and gc runs need both ids to be equal."""

    cluster_id: str
    store_cluster_id: str = ""
    equal: bool = False


class ClusterStatus(ApiValue, frozen=True):
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
    open_check: OpenCheck | None = None


class AgentSettings(ApiValue, frozen=True):
    """See `cleancut.core.cluster.agent_settings.AgentSettings`. In a change, what is None stays as
    it is."""

    upload_bytes_per_s: int | None = None
    uploads: int | None = None
    spill_bytes: int | None = None
    spill_floor_bytes: int | None = None
    read_bytes_per_s: int | None = None
