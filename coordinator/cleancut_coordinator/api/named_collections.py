"""Names of collections in a request, checked at the call: a typo costs no epoch and no alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from cleancut.core.primitives.errors import NotFound, Refused, TimedOut, Unavailable
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext

READ_S = 3.0


async def check_named(
    context: CoordinatorContext, names: Sequence[str], *, may_miss: bool = False
) -> None:
    """Returns if a backup of these may begin; unless Qdrant answers, it may.

    Raises: Refused (an alias), NotFound.
    """
    if not names:
        return
    try:
        there = await ask_any(context.peers, lambda peer: peer.collections(READ_S))
        aliases = await ask_any(context.peers, lambda peer: peer.aliases(READ_S))
    except (Unavailable, TimedOut):
        return
    check_names(names, there, aliases, may_miss=may_miss)


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
