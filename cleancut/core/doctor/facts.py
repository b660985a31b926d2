"""Facts for the doctor: a cluster as its peers, agents, etcd and the store report it now.

The findings are in `cleancut.core.doctor.findings`.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.doctor.protection import CollectionProtection
from cleancut.core.doctor.silence import SeenPeers
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Concern, Failure
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, State

Severity = Literal["error", "warning", "info"]


Effect = Literal["safe", "loses-data"]


class Fix(Record, frozen=True):
    """One step against a problem: what to do, and the command or call to paste, or "".

    `effect`: `loses-data`, if data can be lost for good by it, on whatever condition `what` names.
    """

    command: str = ""
    effect: Effect = "safe"
    what: str = ""


class Finding(Record, frozen=True):
    """One problem. `kind` is stable, for scripts. `fixes`: in the order in which to try them; the
    safe ones come first."""

    kind: str
    severity: Severity
    what: str
    fixes: tuple[Fix, ...] = ()


class DamagedBackup(Record, frozen=True):
    """A backup whose manifest cannot be read (`corrupt`), or of which a check found damage. `why`:
    the first of it."""

    epoch: Epoch
    corrupt: bool
    why: str


class LocalShard(Record, frozen=True):
    """One shard as the peer that holds it reports it. `points` None: it could not be counted."""

    collection: str
    shard_id: ShardId
    points: int | None = None
    uuid: str = ""


class PeerReport(Record, frozen=True):
    """One peer that answers the coordinator. `peers`: every id that it knows, with its address;
    without cluster mode it is peer 0 and knows itself. `collections`: all that it lists, also those
    that an alias hides. `local`: the shards on its own disk, asked only of a peer that differs from
    the others; None: unknown. `consensus`: why its consensus thread has stopped, or ""."""

    peer_id: PeerId
    url: str
    peers: tuple[tuple[PeerId, str], ...]
    aliases: tuple[tuple[str, str], ...] = ()
    collections: tuple[str, ...] = ()
    local: tuple[LocalShard, ...] | None = None
    consensus: str = ""

    @property
    def ids(self) -> tuple[PeerId, ...]:
        return tuple(sorted(peer for peer, _ in self.peers))


class AgentReport(Record, frozen=True):
    """One agent with a live session; `peer_id` None: it cannot use its Qdrant at `url`, for the
    reason in `problem`. `wal`: why it reads no logs, and `capture`: why it captures nothing from
    the disk, as in its session."""

    name: AgentName
    url: str
    peer_id: PeerId | None = None
    peers: tuple[PeerId, ...] = ()
    problem: str = ""
    version: str = ""
    concerns: tuple[Concern, ...] = ()
    wal: str | None = None
    capture: str | None = None


class Refusal(Record, frozen=True):
    """A peer that answers the coordinator with a refusal."""

    url: str
    message: str


class ScheduleHealth(Record, frozen=True):
    """A schedule of backups. `last_good_s`: when its newest good backup was cut. `max_age_s`:
    how old that may be. `since_s`: when it got its times."""

    name: str
    max_age_s: float
    last_good_s: float | None = None
    since_s: float | None = None
    paused: bool = False


class BackupHealth(Record, frozen=True):
    """What the catalog and the last operations say of the backups. `protection`: of each
    collection, as the status has it. `last_failed`: the failure of the newest backup that ended, if
    it failed (see `outcome_of`). `partial`: numbers of newest backups with what they lack and no
    later one holds. `unverified`: schedules of which no backup was checked, with the newest."""

    good: int = 0
    protection: tuple[CollectionProtection, ...] = ()
    last_failed: Failure | None = None
    schedules: tuple[ScheduleHealth, ...] = ()
    verified: bool = False
    drilled: bool = False
    retention: bool = False
    partial: tuple[tuple[int, tuple[str, ...]], ...] = ()
    unverified: tuple[tuple[str, int], ...] = ()


class ArchiveShard(Record, frozen=True):
    """A shard to be archived. `problem`: why no agent follows it; "": one does. `chain`: what it is
    archived as, `base`: the newest backup that this continues, 0 for none."""

    collection: str
    shard: ShardId
    problem: str = ""
    lag_s: float = 0.0
    chain: str = ""
    base: int = 0


class ArchiveHealth(Record, frozen=True):
    """The archive of logs. `last_mark_s`: since 1970; None: there is no mark."""

    shards: tuple[ArchiveShard, ...] = ()
    last_mark_s: float | None = None


class StuckOperation(Record, frozen=True):
    """A backup, seed, rebalance or reshard of the last days that needs an operator."""

    id: OperationId
    kind: OperationKind
    message: str
    hint: str = ""


class PendingFence(Record, frozen=True):
    """A fence that etcd names although its backup is over. `hooked`: collections of which a hook
    paused the writer, for `budget_s`."""

    epoch: Epoch
    raised_at: str
    budget_s: float
    aliases: tuple[str, ...] = ()
    hooked: tuple[str, ...] = ()


class KnownRestore(Record, frozen=True):
    """A restore of the last days. `kept`: old data that it replaced, as collection and uuid."""

    id: OperationId
    state: State
    kept: tuple[tuple[str, str], ...] = ()
    message: str = ""
    hint: str = ""


class GroupShards(Record, frozen=True):
    epoch: Epoch
    shards: tuple[tuple[str, ShardId], ...]


class FailingTarget(Record, frozen=True):
    """A target of notifications that cannot be notified: since when, why, and what waits."""

    name: str
    since_s: float
    why: str
    pending: int


class Facts(Record, frozen=True):
    """All facts of one diagnosis.

    `peers`: the configured ones that answer. `url`: where `collections` was read, empty if no peer
    answers. `open_fence`: the epoch whose fence may stand now. `groups`:
    newest first. `owner_id` None: the store does not answer. `seen`: since when peers are silent.
    `damaged`: backups, newest first; `newest_intact`: the newest other one, if any.
    `accepting`: silent peers whose address accepts connections. `now_s`: wall clock.
    `store_problem`: why the store cannot be used. `coordinators`: names and versions. `backups`:
    None, if the catalog was not read. `api_open`: everyone may do everything.
    `gc_stopped`: why the last gc run deleted nothing. `archive`: None, if it was not read. `other`:
    another installation of cleancut that uses this Qdrant cluster. `behind`: why etcd shows a past
    of what the store knows. `alone`: the coordinator's etcd is its own: no other can join it.
    `unnotified`: targets of notifications that fail.
    """

    peers: tuple[PeerReport, ...]
    agents: tuple[AgentReport, ...]
    url: str = ""
    collections: tuple[LiveShards, ...] = ()
    restores: tuple[KnownRestore, ...] = ()
    stuck: tuple[StuckOperation, ...] = ()
    fences: tuple[PendingFence, ...] = ()
    groups: tuple[GroupShards, ...] = ()
    open_fence: Epoch | None = None
    cluster_id: str = ""
    owner_id: str | None = None
    gc_stopped: str = ""
    other: str = ""
    behind: str = ""
    alone: bool = False
    seen: SeenPeers | None = None
    accepting: tuple[PeerId, ...] = ()
    now_s: float = 0.0
    store_problem: str = ""
    refusals: tuple[Refusal, ...] = ()
    coordinators: tuple[tuple[str, str], ...] = ()
    backups: BackupHealth | None = None
    api_open: bool = False
    damaged: tuple[DamagedBackup, ...] = ()
    newest_intact: Epoch | None = None
    archive: ArchiveHealth | None = None
    unnotified: tuple[FailingTarget, ...] = ()

    def named(self, peer: PeerId) -> str:
        """The peer by its agent, even one that is away, and its id, which commands take."""
        known = self.seen.agents if self.seen is not None else ()
        agents = {int(one): str(name) for one, name in known}
        agents |= {int(one.peer_id): one.name for one in self.agents if one.peer_id is not None}
        return peer_and_id(peer, agents)

    @property
    def aliases(self) -> dict[str, str]:
        """The aliases at the peer at `url`."""
        return dict(next((one.aliases for one in self.peers if one.url == self.url), ()))

    @property
    def members(self) -> tuple[PeerId, ...]:
        """The cluster's peer ids: the set that most of its peers agree on."""
        return members_of(self.peers, self.agents)

    @property
    def addresses(self) -> dict[PeerId, str]:
        """The address at which the others reach each member, as far as it is known."""
        members = self.members
        return {peer: uri for one in self.peers if one.ids == members for peer, uri in one.peers}

    @property
    def heard(self) -> set[PeerId]:
        """Peers that answer the coordinator or their agent."""
        answering = {one.peer_id for one in self.peers}
        return answering | {agent.peer_id for agent in self.agents if agent.peer_id is not None}

    @property
    def restoring(self) -> OperationId | None:
        """The restore that is under way."""
        over = {*FINAL_STATES, State.PENDING}
        return next((one.id for one in self.restores if one.state not in over), None)

    def holds(self, peer: PeerId) -> bool:
        """Whether the cluster lists replicas at this peer."""
        return any(r.peer_id == peer for entry in self.collections for r in entry.replicas)

    def only_at(self, peer: PeerId) -> tuple[tuple[str, ShardId], ...]:
        """The shards without an Active replica at another peer that is heard."""
        found = []
        for entry in self.collections:
            for shard in sorted({r.shard_id for r in entry.replicas if r.peer_id == peer}):
                if not self._elsewhere(entry, shard, peer):
                    found.append((entry.name, shard))
        return tuple(found)

    def unique_on(self, report: PeerReport) -> tuple[LocalShard, ...]:
        """The shards on the disk of this peer that no other peer has, as far as is known."""
        entries = {entry.name: entry for entry in self.collections}
        return tuple(
            one
            for one in report.local or ()
            if one.points != 0 and not self._has(entries.get(one.collection), one, report.peer_id)
        )

    def _has(self, entry: LiveShards | None, one: LocalShard, peer: PeerId) -> bool:
        if entry is None or (one.uuid and entry.uuid and one.uuid != entry.uuid):
            return False
        return self._elsewhere(entry, one.shard_id, peer)

    def _elsewhere(self, entry: LiveShards, shard: ShardId, peer: PeerId) -> bool:
        heard = self.heard
        return any(
            r.state == ACTIVE and r.peer_id != peer and r.peer_id in heard for r in entry.of(shard)
        )

    def holder(self, collection: str, shard_id: ShardId) -> Epoch | None:
        """The newest group that holds this shard."""
        wanted = (collection, shard_id)
        return next((group.epoch for group in self.groups if wanted in group.shards), None)


def members_of(
    peers: tuple[PeerReport, ...], agents: tuple[AgentReport, ...]
) -> tuple[PeerId, ...]:
    """The set of peer ids that most peers report; of two equally common ones the larger."""
    sets = {
        agent.peer_id: tuple(sorted(agent.peers)) for agent in agents if agent.peer_id is not None
    }
    sets |= {one.peer_id: one.ids for one in peers}  # read just now; sessions lag
    votes = Counter(sets.values())
    return max(votes, key=lambda ids: (votes[ids], len(ids), ids), default=())
