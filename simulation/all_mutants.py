"""All mutants, and which seed finds each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from simulation.mutants import BACKUP_MUTANTS
from simulation.mutants_archive import ARCHIVE_MUTANTS
from simulation.mutants_regressions import REGRESSION_MUTANTS
from simulation.mutants_reshard import RESHARD_MUTANTS
from simulation.mutants_restore import RESTORE_MUTANTS
from simulation.mutants_schedules import SCHEDULE_MUTANTS
from simulation.mutants_standstill import STANDSTILL_MUTANTS
from simulation.mutants_undelete import UNDELETE_MUTANTS
from simulation.mutants_unkind import UNKIND_MUTANTS
from simulation.mutants_upkeep import UPKEEP_MUTANTS
from simulation.mutation import find

MUTANTS = {
    **BACKUP_MUTANTS,
    **STANDSTILL_MUTANTS,
    **RESTORE_MUTANTS,
    **RESHARD_MUTANTS,
    **UNDELETE_MUTANTS,
    **UPKEEP_MUTANTS,
    **SCHEDULE_MUTANTS,
    **REGRESSION_MUTANTS,
    **UNKIND_MUTANTS,
    **ARCHIVE_MUTANTS,
}


def find_all(processes: int) -> Iterator[tuple[str, tuple[int | None, str]]]:
    """Each mutant's name, with the first seed that shows it and what a checker says of it."""
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from zip(MUTANTS, pool.map(find_named, MUTANTS), strict=True)


def find_named(name: str) -> tuple[int | None, str]:
    """As `find`, by the mutant's name."""
    return find(MUTANTS[name])
