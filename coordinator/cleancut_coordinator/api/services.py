"""Services of the API: what the servicers call, on this coordinator."""

from __future__ import annotations

from collections.abc import Callable

from cleancut.api.interface import Api
from cleancut_coordinator.api.backups import BackupService
from cleancut_coordinator.api.cluster import ClusterService
from cleancut_coordinator.api.rebalances import RebalanceService
from cleancut_coordinator.api.reshards import ReshardService
from cleancut_coordinator.api.restores import RestoreService
from cleancut_coordinator.api.schedules import ScheduleService
from cleancut_coordinator.api.undeletes import UndeleteService
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leadership import Leadership


def coordinator_api(
    context: CoordinatorContext,
    leading: Callable[[], Leadership],
    leader_address: Callable[[], str | None],
    trouble: Callable[[], str] = lambda: "",
) -> Api:
    """The API of this process. `leading` raises Unavailable on a standby."""
    backups = BackupService(context, leading)
    return Api(
        leader_address,
        backups=backups,
        restores=RestoreService(context, leading, backups),
        rebalances=RebalanceService(context, leading),
        reshards=ReshardService(context, leading),
        undeletes=UndeleteService(context, leading),
        schedules=ScheduleService(context, leading, backups),
        cluster=ClusterService(context, leading),
        trouble=trouble,
    )
