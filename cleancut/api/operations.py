"""Operations as the API shows them, of whatever kind."""

from __future__ import annotations

from cleancut.api.backups import Backup
from cleancut.api.rebalances import (
    Rebalance,
)
from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore
from cleancut.api.undeletes import Undelete
from cleancut.api.values import OperationError
from cleancut.core.protocol.etcd_records import Failure
from cleancut.core.protocol.states import FINAL_STATES

Operation = Backup | Restore | Rebalance | Reshard | Undelete


def is_over(operation: Operation) -> bool:
    """True if nothing more will happen to it by itself."""
    return operation.state in FINAL_STATES


def shown_error(failure: Failure | None) -> OperationError | None:
    """A recorded failure as the API shows it."""
    if failure is None:
        return None
    return OperationError(reason=failure.reason, message=failure.message, hint=failure.hint)
