"""Port of an object store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    path: str
    size_bytes: int


class Store(Protocol):
    """Object storage: every object is written once, whole or not at all.

    Paths are relative, `/`-separated, checked. Raises: NotFound, Unavailable (retried inside
    first), Denied, Refused (no space, not writable).
    """

    async def put(self, path: str, data: bytes) -> None:
        """Durable when it returns. Order: repeatable with the same bytes only."""
        ...

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `offset`, or all from there. Short only at the object's end."""
        ...

    async def stat(self, path: str) -> ObjectInfo | None: ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """All objects whose path starts with `prefix`, sorted."""
        ...

    async def delete(self, path: str) -> None:
        """Removing nothing is not an error."""
        ...

    async def clock_s(self) -> float | None:
        """The time by the store's own clock, in seconds since 1970; None if it has none."""
        ...

    async def close(self) -> None: ...
