"""Names of their own by which restored collections are reached: aliases that go with them.

Qdrant looks an uploaded tar's collection up by name once it has the whole tar, when another one may
have that name. It removes a collection's aliases together with the collection, so by an alias that
was made for this one no other is ever reached. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping

_BEGIN = "cleancut-upload@"


def upload_name(token: str) -> str:
    """The alias for one upload; `token` is used once."""
    return f"{_BEGIN}{token}"


def left_names(aliases: Mapping[str, str], collection: str) -> list[str]:
    """Those of `collection` that an agent made and could not remove, sorted."""
    return sorted(
        alias for alias, name in aliases.items() if name == collection and alias.startswith(_BEGIN)
    )
