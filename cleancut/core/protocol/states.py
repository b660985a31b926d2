"""The kinds of operations, their phases, and the states that users see."""

from __future__ import annotations

from enum import StrEnum


class OperationKind(StrEnum):
    BACKUP = "backup"
    RESTORE = "restore"
    REBALANCE = "rebalance"
    RESHARD = "reshard"
    SEED = "seed"
    IMPORT = "import"
    UNDELETE = "undelete"


BACKUP_KINDS = (OperationKind.BACKUP, OperationKind.SEED, OperationKind.IMPORT)
"""What users see as backups."""


class Phase(StrEnum):
    """The phase of the open operation; changes only together with `Ctl`."""

    IDLE = "IDLE"
    PREPARE = "PREPARE"
    FENCE = "FENCE"
    CUT = "CUT"
    SEAL = "SEAL"
    STANDSTILL = "STANDSTILL"
    UPLOAD = "UPLOAD"
    COMMIT = "COMMIT"
    ABORT = "ABORT"
    CREATE = "CREATE"
    RECOVER = "RECOVER"
    VERIFY = "VERIFY"
    PUBLISH = "PUBLISH"
    ROLLBACK = "ROLLBACK"
    MOVE = "MOVE"
    COUNT = "COUNT"
    CLEAN = "CLEAN"
    APPLY = "APPLY"


class State(StrEnum):
    """The state of an operation as users see it."""

    PENDING = "PENDING"
    PREPARING = "PREPARING"
    FENCING = "FENCING"
    CUTTING = "CUTTING"
    SEALING = "SEALING"
    UPLOADING = "UPLOADING"
    COMMITTING = "COMMITTING"
    COMMITTED = "COMMITTED"
    SEEDED = "SEEDED"
    ABORTED = "ABORTED"
    PLANNED = "PLANNED"
    CREATING = "CREATING"
    RECOVERING = "RECOVERING"
    VERIFYING = "VERIFYING"
    RESHARDING = "RESHARDING"  # only shown: of a restore that waits for its reshards
    PUBLISHING = "PUBLISHING"
    DONE = "DONE"
    ROLLING_BACK = "ROLLING_BACK"
    ROLLED_BACK = "ROLLED_BACK"
    NEEDS_OPERATOR = "NEEDS_OPERATOR"
    MOVING = "MOVING"
    CLEANING = "CLEANING"
    APPLYING = "APPLYING"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    DELETED = "DELETED"  # only shown: of a group that was committed
    DAMAGED = "DAMAGED"  # only shown: it was committed, and a check found it damaged
    CORRUPT = "CORRUPT"  # only shown: it was committed, and its manifest cannot be read


SUCCEEDED = frozenset({State.COMMITTED, State.SEEDED, State.DELETED, State.DONE})
FINAL_STATES = SUCCEEDED | {
    State.ABORTED,
    State.ROLLED_BACK,
    State.NEEDS_OPERATOR,
    State.FAILED,
    State.CANCELED,
    State.DAMAGED,
    State.CORRUPT,
}


IN_CATALOG = frozenset({State.COMMITTED, State.DAMAGED, State.CORRUPT})
"""Of a backup that is in the catalog, whatever has become of it."""
FENCED = frozenset({Phase.FENCE, Phase.CUT, Phase.SEAL, Phase.STANDSTILL})
"""While the open epoch is in one of these, its fence may stand; in any other it is lifted."""
PERMANENT = frozenset({"INVALID", "NOT_FOUND", "REFUSED", "DENIED", "CANCELLED"})
CLOSED = frozenset({Phase.IDLE, Phase.ABORT})
