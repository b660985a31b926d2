"""Names of restored collections: `<base>@<restore id>`, and the way back to the base."""

from __future__ import annotations

import re

_RESTORED = re.compile(r"(?P<base>.+)@(?P<restore>r-[0-9a-f]{16})", re.DOTALL)


def base_of(name: str) -> str:
    """The name without the restore id that `restore --beside` appends."""
    found = _RESTORED.fullmatch(name)
    return found["base"] if found else name


def restore_of(name: str) -> str:
    """The restore whose id ends the name; "" for none."""
    found = _RESTORED.fullmatch(name)
    return found["restore"] if found else ""
