"""How large a request of the API may be, whatever its method: bytes, texts, lists, in one place.

What a field may mean is checked where it is used; here nothing gets through that is only large.
"""

from __future__ import annotations

import math
from typing import Any

from cleancut.api.wire import TIMESTAMP, is_map
from cleancut.core.primitives.errors import Invalid
from cleancut.core.protocol.requests import MAX_FILTER, MAX_IDS

MAX_REQUEST_BYTES = 1 << 20
MAX_TEXT = 512
MAX_ITEMS = 1000
LARGER = {
    "cleancut.v1.UndeleteOptions.ids": MAX_IDS,
    "cleancut.v1.UndeleteOptions.filter": MAX_FILTER,
}
"""Lists that may hold more than `MAX_ITEMS`, and texts that may be longer than `MAX_TEXT`."""
MAX_METADATA_BYTES = 16 << 10
MAX_STREAMS = 200
"""Calls at a time on one connection, watches among them."""
MAX_CALLS = 1000
"""Calls at a time in all."""
MAX_WATCHES = 800
"""Watches among them, which last for hours: what they leave is for all other calls."""


def check_sizes(message: Any) -> None:
    """Raises: Invalid, if a text or a list anywhere in it is too long, or a number or time is
    none."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else (value,)
        most = max(MAX_ITEMS, LARGER.get(field.full_name, 0))
        longest = MAX_TEXT if field.is_repeated else LARGER.get(field.full_name, MAX_TEXT)
        if len(values) > most:
            raise Invalid(f"{field.name} holds {len(values)} items, {most} at most", "ask in parts")
        if is_map(field):
            values = (*value.keys(), *value.values())
        elif field.message_type is not None:
            for one in values:
                if field.message_type.full_name == TIMESTAMP:
                    _check_time(field.name, one)
                else:
                    check_sizes(one)
            continue
        if field.type == field.TYPE_DOUBLE and not all(math.isfinite(one) for one in values):
            raise Invalid(f"{field.name} is not a number", "write a finite one")
        if any(isinstance(one, str) and len(one) > longest for one in values):
            raise Invalid(f"{field.name} is longer than {longest} characters", "write less")


def _check_time(name: str, time: Any) -> None:
    """Raises: Invalid, for one that is not in the years 1 to 9999."""
    try:
        time.ToJsonString()
    except ValueError as error:
        hint = "seconds of the years 1 to 9999, and 0 to 999,999,999 nanoseconds"
        raise Invalid(f"{name} is not a time", hint) from error
