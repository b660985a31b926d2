"""Looks that a leader takes from time to time, for as long as it leads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn

from cleancut.core.primitives.errors import CleancutError, Fenced
from cleancut.ports.clock import Clock


async def look_for_ever(
    look: Callable[[], Awaitable[object]],
    clock: Clock,
    every_s: float,
    note: Callable[[CleancutError], None],
) -> NoReturn:
    """`note`: of a look that failed; the next one is taken all the same.

    Raises: Fenced, if another coordinator leads.
    """
    while True:
        try:
            await look()
        except Fenced:
            raise
        except CleancutError as error:
            note(error)
        await clock.sleep(every_s)
