"""Sizes as people write them, on the command line and in settings files. Pure."""

from __future__ import annotations

import re

from cleancut.core.primitives.errors import Invalid

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str) -> int:
    """Bytes of 65536, 64KiB, 64k, 1.5MiB or 2G: units are of 1024. Raises: Invalid."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d+)?) ?([kmgt]?)(?:i?b)?", text.lower())
    if found is None:
        raise Invalid(f"{text!r} is not a size: write 65536, 64KiB or 1.5GiB")
    return int(float(found[1]) * 1024 ** _POWERS[found[2]])
