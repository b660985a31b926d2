"""Installation mark: one Qdrant cluster has one installation of cleancut, named in its metadata.

Two of them would back up and restore side by side, each without a look at what the other has under
way: one would drop or move what the other one restores.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Corrupt, Refused, TimedOut, Unavailable
from cleancut.core.protocol.etcd_records import Owner
from cleancut.repository.bounded import read_document
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext

MARK = "cleancut"
"""The key in a Qdrant cluster's metadata. Shape: {"id": the cluster's id, "name": its name}."""
_READ_S = 10.0
_BACKUP_S = 3.0
"""How long a backup waits for the mark at most."""


async def own_id(context: CoordinatorContext) -> str:
    """The id of this installation's cluster, as etcd has it; "" for none yet."""
    found = await context.etcd.get(context.keys.id)
    return found.value.decode(errors="replace") if found else ""


async def read_other(context: CoordinatorContext) -> str:
    """The other installation that uses this Qdrant cluster, for people; "" for none.

    Limits: without cluster mode Qdrant keeps no mark. Raises: Unavailable, TimedOut; errors of the
        store.
    """
    return await _other_of(context, await _read_mark(context))


async def _other_of(context: CoordinatorContext, mark: Any) -> str:
    known = mark if isinstance(mark, dict) else {}
    whose = known.get("id")
    if whose in {None, await own_id(context)} or whose in await _owners(context):
        return ""
    return f"{known.get('name')!r} ({str(whose)[:8]})"


async def _owners(context: CoordinatorContext) -> set[str]:
    """All ids that this store's cluster ever had: another one each time its etcd was lost."""
    paths = [info.path async for info in context.store.list(context.paths.owners)]
    found = set()
    for path in paths:
        with contextlib.suppress(Corrupt):  # one that is damaged allows nothing
            found.add(decode(Owner, await read_document(context.store, path), path).cluster_id)
    return found


async def check_before_backup(context: CoordinatorContext) -> None:
    """As `check_installation`, for what changes nothing in the cluster: goes on if the mark can be
    neither read nor put, since Qdrant's consensus may have stopped. Limits: `_BACKUP_S`.

    Raises: Refused, if it is marked as another installation's.
    """
    with contextlib.suppress(Unavailable, TimedOut, TimeoutError):
        async with asyncio.timeout(_BACKUP_S):
            await check_installation(context)


async def check_installation(context: CoordinatorContext) -> None:
    """Marks a Qdrant cluster that has no mark. Order: before anything is done to it.

    Raises: Refused, if it is marked as another installation's; Unavailable, TimedOut.
    """
    mark = await _read_mark(context)
    if mark is None and await _put_mark(context):
        mark = await _read_mark(context)  # of two that put theirs at once, one is there
    _check_none(await _other_of(context, mark))


async def check_mark(context: CoordinatorContext) -> None:
    """As `check_before_backup`, and puts no mark. Raises: Refused."""
    with contextlib.suppress(Unavailable, TimedOut, TimeoutError):
        async with asyncio.timeout(_BACKUP_S):
            _check_none(await read_other(context))


def _check_none(other: str) -> None:
    if other:
        raise Refused(
            f"another installation of cleancut uses this Qdrant cluster: {other}",
            "remove that one, or back up with it; `cleancut adopt` makes the cluster this one's",
            installation=other,
        )


async def _read_mark(context: CoordinatorContext) -> Any:
    """None, if there is none."""
    return await ask_any(context.peers, lambda peer: peer.cluster_metadata_value(MARK, _READ_S))


async def _own_mark(context: CoordinatorContext) -> dict[str, str]:
    return {"id": await own_id(context), "name": context.keys.cluster}


async def _put_mark(context: CoordinatorContext) -> bool:
    """Whether it was put. Raises: Unavailable, TimedOut."""
    mark = await _own_mark(context)
    return await ask_any(context.peers, lambda peer: peer.put_cluster_metadata(MARK, mark, _READ_S))


async def take_over(context: CoordinatorContext) -> None:
    """Makes the Qdrant cluster this installation's, if it can be reached."""
    with contextlib.suppress(Unavailable, TimedOut):
        if await _read_mark(context) != await _own_mark(context):
            await _put_mark(context)
