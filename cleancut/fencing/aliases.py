"""Release of a fenced alias, by a coordinator or an agent, whichever comes first."""

from __future__ import annotations

from typing import Any

from cleancut.core.primitives.errors import Invalid, NotFound, Refused
from cleancut.qdrant.client import Qdrant


def rename(old: str, new: str) -> dict[str, Any]:
    """The action for `Qdrant.change_aliases`."""
    return {"rename_alias": {"old_alias_name": old, "new_alias_name": new}}


async def give_back(qdrant: Qdrant, fenced: str, alias: str, timeout_s: float) -> bool:
    """This peer shows no `fenced` any more; True if it was this call that changed it.

    Raises: Refused, if the name was given to a collection or another alias meanwhile: what is
        there now is not ours to touch. Errors of `Qdrant`.
    """
    aliases = await qdrant.aliases(timeout_s)
    if fenced not in aliases:
        return False
    if alias in aliases or alias in await qdrant.collections(timeout_s):
        raise Refused(
            f"cannot lift the fence {fenced!r}: the name {alias!r} was taken meanwhile",
            "see `cleancut doctor`; rename or delete one of the two by hand",
        )
    try:
        await qdrant.change_aliases([rename(fenced, alias)], timeout_s)
    except (Invalid, NotFound):
        if fenced in await qdrant.aliases(timeout_s):
            raise
        return False  # somebody else was faster
    return True
