"""Python client of the API: `Client`, or `BlockingClient` for programs without an event loop.

All that a program needs can be imported from here: requests, options, answers, states and errors.
"""

from cleancut.api.archive import Archive, ArchiveMark, LogPage, LogQuery
from cleancut.api.backups import Backup, BackupPage, BackupPlan, Evidence
from cleancut.api.cluster import AgentSettings, ClusterStatus, Diagnosis, ForgottenPeer, Identity
from cleancut.api.garbage import GarbageCollection
from cleancut.api.protection import Protection
from cleancut.api.rebalances import Rebalance, RebalanceOptions, RebalancePage, RebalancePlan
from cleancut.api.repairs import Repair
from cleancut.api.reshards import Reshard, ReshardOptions, ReshardPage, ReshardPlan
from cleancut.api.restores import (
    MomentOptions,
    Rename,
    Restore,
    RestoreOptions,
    RestorePage,
    RestorePlan,
    ShardNumber,
)
from cleancut.api.schedules import Schedule, ScheduleList
from cleancut.client.blocking import BlockingClient
from cleancut.client.client import Client
from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    Refused,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.requests import BackupRequest, ImportRequest, SeedRequest
from cleancut.core.protocol.states import State
from cleancut.runtime.tls import Tls

__all__ = [
    "AgentSettings",
    "Archive",
    "ArchiveMark",
    "Backup",
    "BackupPage",
    "BackupPlan",
    "BackupRequest",
    "BlockingClient",
    "CleancutError",
    "Client",
    "ClusterStatus",
    "Consistency",
    "Corrupt",
    "Denied",
    "Diagnosis",
    "Evidence",
    "ForgottenPeer",
    "GarbageCollection",
    "Identity",
    "ImportRequest",
    "Invalid",
    "LogPage",
    "LogQuery",
    "MomentOptions",
    "NotFound",
    "Protection",
    "Rebalance",
    "RebalanceOptions",
    "RebalancePage",
    "RebalancePlan",
    "Refused",
    "Rename",
    "Repair",
    "Reshard",
    "ReshardOptions",
    "ReshardPage",
    "ReshardPlan",
    "Restore",
    "RestoreOptions",
    "RestorePage",
    "RestorePlan",
    "Schedule",
    "ScheduleList",
    "SeedRequest",
    "ShardNumber",
    "State",
    "TimedOut",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "Undelete",
    "UndeleteOptions",
    "UndeletePage",
    "UndeletePlan",
]
