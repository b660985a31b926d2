"""Objects of Kubernetes in memory, with what the operator relies on: merge patches of a status,
versions that a change has to be of, and a deletion that waits for finalizers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from cleancut.core.primitives.errors import Fenced, NotFound
from cleancut_operator.resources import Fields, Kind, Seen


def new_object(kind: Kind, spec: Fields, uid: str = "5f0c0a52-0000-4000-8000-000000000001") -> Seen:
    """As somebody has just created it."""
    return Seen(
        kind=kind,
        namespace="qdrant",
        name="one",
        uid=uid,
        generation=1,
        version="1",
        spec=spec,
        status={},
        finalizers=(),
        is_leaving=False,
    )


def merged(old: Fields, patch: Fields) -> dict[str, Any]:
    """RFC 7396, one level of objects deep."""
    made = {**old, **patch}
    return {key: value for key, value in made.items() if value is not None}


@dataclass
class MemoryKube:
    """One object. `writes`: how often its status was changed; `refused`: changes of another one."""

    now: Seen
    gone: bool = False
    writes: int = 0
    refused: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def set_status(self, seen: Seen, fields: Fields) -> Seen:
        if self.gone:
            raise NotFound(f"{seen.path} is gone")
        await self._check_version(seen)
        self.writes += 1
        return await self._become(status=merged(self.now.status, fields))

    async def set_finalizers(self, seen: Seen, finalizers: tuple[str, ...]) -> Seen:
        await self._check_version(seen)
        self.gone = self.now.is_leaving and not finalizers
        return await self._become(finalizers=finalizers)

    async def edit(self, **spec: Any) -> Seen:
        """Somebody changes the spec."""
        now = self.now
        return await self._become(spec={**now.spec, **spec}, generation=now.generation + 1)

    async def delete(self) -> Seen:
        """Somebody deletes it."""
        self.gone = not self.now.finalizers
        return await self._become(is_leaving=True, generation=self.now.generation + 1)

    async def wait(self, is_so: Callable[[Seen], bool]) -> Seen:
        async with self.changed:
            await self.changed.wait_for(lambda: is_so(self.now))
        return self.now

    async def recreate(self, uid: str) -> Seen:
        """Somebody deletes it and creates another one of its name."""
        return await self._become(uid=uid, status={}, finalizers=(), generation=1)

    async def _check_version(self, seen: Seen) -> None:
        if seen.version == self.now.version:
            return
        async with self.changed:
            self.refused += 1
            self.changed.notify_all()
        raise Fenced("the object has been modified")

    async def _become(self, **fields: Any) -> Seen:
        async with self.changed:
            self.now = replace(self.now, version=str(int(self.now.version) + 1), **fields)
            self.changed.notify_all()
        return self.now
