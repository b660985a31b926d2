"""Names of collections in a request, checked at the call: a typo costs no epoch and no alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from cleancut.core.primitives.errors import NotFound, Refused, TimedOut, Unavailable
from cleancut.core.protocol.fence import ALIAS, leftover_fences
from cleancut.core.protocol.requests import BackupRequest, check_selection
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext

READ_S = 3.0


async def check_named(context: CoordinatorContext, request: BackupRequest) -> None:
    """Returns if a backup of the named collections may begin; unless Qdrant answers, it may.

    Raises: Refused (an alias), NotFound, Invalid (named and excluded).
    """
    check_selection(request.collections, request.exclude)
    fenced = [word.removeprefix(ALIAS) for word in request.fence if word.startswith(ALIAS)]
    if not request.collections and not fenced:
        return
    try:
        there = await ask_any(context.peers, lambda peer: peer.collections(READ_S))
        aliases = await ask_any(context.peers, lambda peer: peer.aliases(READ_S))
    except (Unavailable, TimedOut):
        return
    check_names(request.collections, there, aliases, may_miss=request.allow_missing)
    check_fenced(fenced, there, aliases)


def check_fenced(fenced: Sequence[str], there: Sequence[str], aliases: Mapping[str, str]) -> None:
    """Raises: Refused, unless all to be fenced are aliases, also while a backup fences them."""
    known = {*aliases, *(each.alias for each in leftover_fences(aliases))}
    for name in fenced:
        if name in known:
            continue
        own = sorted(alias for alias, of in aliases.items() if of == name and alias in known)
        if name in there:
            raise Refused(
                f"cannot fence {name!r}: it is a collection, not an alias",
                f"fence an alias that clients write by: {', '.join(own) or 'it has none'}",
            )
        close = get_close_matches(name, known, n=1)
        shown = ", ".join(sorted(known)[:5]) or "none"
        raise Refused(
            f"cannot fence {name!r}: the alias does not exist",
            f"did you mean {close[0]!r}?" if close else f"the aliases are: {shown}",
        )


def check_names(
    names: Sequence[str], there: Sequence[str], aliases: Mapping[str, str], *, may_miss: bool
) -> None:
    """Raises: Refused, for an alias; NotFound, unless absent ones `may_miss`."""
    for name in names:
        if name in there:
            continue
        if name in aliases:
            raise Refused(
                f"{name!r} is an alias of collection {aliases[name]!r}",
                f"name the collection: --collection {aliases[name]}",
            )
        if not may_miss:
            close = get_close_matches(name, there, n=1)
            shown = ", ".join(sorted(there)[:5]) or "none"
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {shown}"
            raise NotFound(f"collection {name!r} does not exist", hint)
