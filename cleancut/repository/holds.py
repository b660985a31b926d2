"""Holds with a label: groups that somebody wants kept, whatever retention says.

They are the same objects as those of restores (`holds/<epoch>/<who>.json`), so every gc run, also
of another version, respects them.
"""

from __future__ import annotations

import contextlib

from cleancut.core.format.paths import Paths, parse_path
from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, Invalid, NotFound
from cleancut.core.primitives.ids import Epoch, OperationId, parse_name
from cleancut.core.primitives.timestamps import format_time
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_document
from cleancut.repository.garbage import read_holds

_PREFIX = "label."
_MEANWHILE = "_"
"""Ends the name of what holds a group while its hold is replaced; no label can end so."""
MAX_HOLD_S = 100 * 365 * 86400.0


async def put_label(
    store: Store, paths: Paths, epoch: Epoch, label: str, *, now_s: float, for_s: float
) -> None:
    """The group is held; for ever, if `for_s` is 0. A hold of this label that ends later stays as
    it is; one that ends earlier is replaced, while another object holds the group.

    Raises: Invalid (no label, no time); NotFound, if the group is deleted or never was.
    """
    who = _who(label)
    if not 0 <= for_s <= MAX_HOLD_S:
        raise Invalid(f"a hold of {for_s:g} s", "give 0 for ever, or up to a hundred years")
    hold = Hold(
        operation=who,
        created_at=format_time(now_s),
        expires_at=format_time(now_s + for_s) if for_s else "",
    )
    meanwhile = paths.hold(epoch, OperationId(who + _MEANWHILE))
    if label in await labels_of(store, paths, epoch, now_s):
        if not await _ends_earlier(store, paths.hold(epoch, who), hold):
            return
        await store.delete(meanwhile)
        await store.put(meanwhile, encode(hold))
    await store.delete(paths.hold(epoch, who))  # what is left of one that is over, or too short
    await store.put(paths.hold(epoch, who), encode(hold))
    await store.delete(meanwhile)
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
    await store.delete(paths.hold(epoch, OperationId(_who(label) + _MEANWHILE)))


async def labels_of(store: Store, paths: Paths, epoch: Epoch, now_s: float) -> tuple[str, ...]:
    """By which labels a group is held now, sorted."""
    held, _ = await read_holds(store, paths, now_s, epoch)
    whos = {parse_path(path).name.removesuffix(_MEANWHILE) for path in held}
    return tuple(sorted(w.removeprefix(_PREFIX) for w in whos if w.startswith(_PREFIX)))


async def label_expiry(store: Store, paths: Paths, epoch: Epoch, label: str) -> str:
    """Until when the group is held by this label; "" if it is not, or for ever."""
    path = paths.hold(epoch, _who(label))
    try:
        return decode(Hold, await store.get(path), path).expires_at
    except NotFound:
        return ""


async def _ends_earlier(store: Store, path: str, hold: Hold) -> bool:
    """Whether the hold at `path` is over before `hold` is; an unreadable one never is."""
    try:
        known = decode(Hold, await read_document(store, path), path)
    except NotFound:
        return True  # only what held it meanwhile is left
    except Corrupt:
        return False
    return bool(known.expires_at) and (not hold.expires_at or known.expires_at < hold.expires_at)


def _who(label: str) -> OperationId:
    return OperationId(_PREFIX + parse_name(label, "label"))
