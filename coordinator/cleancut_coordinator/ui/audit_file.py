"""The end of a coordinator's audit file, for admins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

MOST = 200
_TAIL_BYTES = 256 << 10


def newest_lines(path: Path) -> list[dict[str, Any]]:
    """The newest lines, newest first; none of a file that is not there yet. Lines that cannot be
    read are left out. Limits: the last 256 KiB of the file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).splitlines()
    except OSError:
        return []
    found = []
    for line in reversed(lines):
        try:
            found.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if len(found) == MOST:
            break
    return found
