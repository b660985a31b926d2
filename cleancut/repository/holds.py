"""Holds with a reason: groups that somebody wants kept, whatever retention says.

They are the same objects as those of restores (`holds/<epoch>/<who>.json`), so every gc run, also
of another version, respects them.
"""

from __future__ import annotations

import contextlib

from cleancut.core.format.paths import Paths, parse_path
from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Corrupt, Invalid, NotFound, Refused
from cleancut.core.primitives.ids import Epoch, OperationId, decode_segment, encode_segment
from cleancut.core.primitives.timestamps import format_time
from cleancut.ports.store import Store
from cleancut.repository.bounded import read_document
from cleancut.repository.garbage import read_holds

_PREFIX = "label."
_MEANWHILE = "+"
"""Ends the name of what holds a group while its hold is replaced; no reason can end so."""
_MOST = 180
MAX_HOLD_S = 100 * 365 * 86400.0


async def put_reason(
    store: Store, paths: Paths, epoch: Epoch, reason: str, *, now_s: float, for_s: float
) -> None:
    """The group is held; for ever, if `for_s` is 0. A hold of this reason that ends later stays as
    it is; one that ends earlier is replaced, while another object holds the group.

    Raises: Invalid (no reason, no time); Refused, if another reason is spelled alike; NotFound, if
        the group is deleted or never was.
    """
    who = _who(reason)
    if not 0 <= for_s <= MAX_HOLD_S:
        raise Invalid(f"a hold of {for_s:g} s", "give 0 for ever, or up to a hundred years")
    hold = Hold(
        operation=who,
        created_at=format_time(now_s),
        expires_at=format_time(now_s + for_s) if for_s else "",
    )
    meanwhile = paths.hold(epoch, OperationId(who + _MEANWHILE))
    known = await reasons_of(store, paths, epoch, now_s)
    for other in known:
        if other != reason and other.casefold() == reason.casefold():
            raise Refused(
                f"backup #{epoch} is held for {other!r}, which differs in capital letters only",
                "some stores take them for one name: give another reason",
            )
    if reason in known:
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


async def drop_reason(store: Store, paths: Paths, epoch: Epoch, reason: str) -> None:
    """It is not held for this reason any more. Raises: Invalid; NotFound, if it was not.

    However the name is spelled: dots of what were labels once are not encoded.
    """
    _who(reason)
    listed = [info.path async for info in store.list(paths.holds_of(epoch))]
    mine = [path for path in listed if _reason_of(paths.parse(path).name) == reason]
    if not mine:
        raise NotFound(
            f"backup #{epoch} is not held for {reason!r}", f"see `cleancut backup show {epoch}`"
        )
    for path in mine:
        await store.delete(path)


async def reasons_of(store: Store, paths: Paths, epoch: Epoch, now_s: float) -> tuple[str, ...]:
    """For which reasons a group is held now, sorted."""
    held, _ = await read_holds(store, paths, now_s, epoch)
    reasons = {_reason_of(parse_path(path).name) for path in held}
    return tuple(sorted(reason for reason in reasons if reason is not None))


async def reason_expiry(store: Store, paths: Paths, epoch: Epoch, reason: str) -> str:
    """Until when the group is held for this reason; "" if it is not, or for ever."""
    path = paths.hold(epoch, _who(reason))
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


def _reason_of(who: str) -> str | None:
    """None of a hold without a reason, such as a restore's."""
    if not who.startswith(_PREFIX):
        return None
    return decode_segment(who.removeprefix(_PREFIX).removesuffix(_MEANWHILE))


def _who(reason: str) -> OperationId:
    """Shape: the reason as a segment, which is part of an object's name."""
    segment = encode_segment(reason)
    if not reason.strip() or not reason.isprintable() or len(segment) > _MOST:
        raise Invalid(
            f"invalid reason {reason[:80]!r} of a hold",
            f"give one line of up to {_MOST} letters, digits, spaces and signs; those that are not"
            " ASCII letters and digits count several times",
        )
    return OperationId(_PREFIX + segment)
