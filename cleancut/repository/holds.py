"""Holds with a label: groups that somebody wants kept, whatever retention says.

They are the same objects as those of restores (`holds/<epoch>/<who>.json`), so every gc run, also
of another version, respects them.
"""

from __future__ import annotations

import contextlib

from cleancut.core.format.paths import Paths, parse_path
from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Invalid, NotFound
from cleancut.core.primitives.ids import Epoch, OperationId, parse_name
from cleancut.core.primitives.timestamps import format_time
from cleancut.ports.store import Store
from cleancut.repository.garbage import read_holds

_PREFIX = "label."
MAX_HOLD_S = 100 * 365 * 86400.0


async def put_label(
    store: Store, paths: Paths, epoch: Epoch, label: str, *, now_s: float, for_s: float
) -> None:
    """The group is held; for ever, if `for_s` is 0. One that is held by this label stays so.

    Raises: Invalid (no label, no time); NotFound, if the group is deleted or never was.
    """
    who = _who(label)
    if not 0 <= for_s <= MAX_HOLD_S:
        raise Invalid(f"a hold of {for_s:g} s", "give 0 for ever, or up to a hundred years")
    if label in await labels_of(store, paths, epoch, now_s):
        return
    await store.delete(paths.hold(epoch, who))  # what is left of one that is over
    hold = Hold(
        operation=who,
        created_at=format_time(now_s),
        expires_at=format_time(now_s + for_s) if for_s else "",
    )
    await store.put(paths.hold(epoch, who), encode(hold))
    gone = await store.stat(paths.tombstone(epoch)) is not None
    if gone or await store.stat(paths.group(epoch)) is None:  # a gc run looks in the other order
        with contextlib.suppress(NotFound):
            await store.delete(paths.hold(epoch, who))
        raise NotFound(f"backup #{epoch} no longer exists", "see `cleancut backup list`")


async def drop_label(store: Store, paths: Paths, epoch: Epoch, label: str) -> None:
    """It is not held by this label any more. Raises: Invalid; NotFound, if it was not."""
    path = paths.hold(epoch, _who(label))
    if await store.stat(path) is None:
        raise NotFound(
            f"backup #{epoch} is not held as {label!r}", f"see `cleancut backup show {epoch}`"
        )
    await store.delete(path)


async def labels_of(store: Store, paths: Paths, epoch: Epoch, now_s: float) -> tuple[str, ...]:
    """By which labels a group is held now, sorted."""
    held, _ = await read_holds(store, paths, now_s, epoch)
    whos = [parse_path(path).name for path in held]
    return tuple(sorted(w.removeprefix(_PREFIX) for w in whos if w.startswith(_PREFIX)))


async def label_expiry(store: Store, paths: Paths, epoch: Epoch, label: str) -> str:
    """Until when the group is held by this label; "" if it is not, or for ever."""
    path = paths.hold(epoch, _who(label))
    try:
        return decode(Hold, await store.get(path), path).expires_at
    except NotFound:
        return ""


def _who(label: str) -> OperationId:
    return OperationId(_PREFIX + parse_name(label, "label"))
