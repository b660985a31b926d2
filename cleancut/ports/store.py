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
    """Object storage: an object is written once, whole or not at all; only repairs replace some.

    Paths are relative, `/`-separated, checked. Raises: NotFound, Unavailable (retried inside
    first), Denied, Refused (no space, not writable).
    """

    async def put(self, path: str, data: bytes) -> None:
        """Durable when it returns. Order: repeatable with the same bytes only."""
        ...

    async def replace(self, path: str, data: bytes) -> None:
        """Puts in the place of whatever lies there: at each moment what was there is whole, or
        `data` is. Durable when it returns. Order: only over an object that was read and found
        damaged; every other one is written once."""
        ...

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `offset`, or all from there. Short only at the object's end."""
        ...

    async def stat(self, path: str) -> ObjectInfo | None: ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """All objects whose path starts with `prefix`, sorted."""
        ...

    async def folders(self) -> tuple[str, ...]:
        """The first parts of all paths, sorted, without reading whole listings."""
        ...

    async def delete(self, path: str) -> None:
        """Removing nothing is not an error."""
        ...

    async def clock_s(self) -> float | None:
        """The time by the store's own clock, in seconds since 1970; None if it has none."""
        ...

    async def remove_unfinished(self, age_s: float) -> int:
        """What killed writers have left, and listings through this store have met since the last
        call, is gone if it is older by the store's own clock; how many those were."""
        ...

    async def close(self) -> None: ...
