"""Short ids: the first characters of an operation's id, which name it if no other begins so."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cleancut.core.primitives.errors import Refused

_SHORT = re.compile(r"[a-z]-[0-9a-f]{4,15}")
_SHOWN = 10


def is_short(name: str) -> bool:
    """Whether `name` may begin an id: its letter and at least four of its sixteen digits."""
    return _SHORT.fullmatch(name) is not None


def resolve_short(name: str, ids: Iterable[str]) -> str:
    """The one among `ids` that begins with `name`; `name` itself, if none does.

    Raises: Refused, naming those that do, if several do.
    """
    found = sorted({one for one in ids if one.startswith(name)})
    if len(found) > 1:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise Refused(
            f"{name!r} is ambiguous: it may be {', '.join(found[:_SHOWN])}{more}",
            "give more digits of the id, or a backup's number",
        )
    return found[0] if found else name
