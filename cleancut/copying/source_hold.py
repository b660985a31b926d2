"""Hold of a group at the source while it is copied, so that no gc run there deletes what it names.

A hold lasts two days and is renewed during a long copy. A source that cannot be written to goes
without: an object that a gc run deletes meanwhile ends the copy with an error.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field

from cleancut.copying.sides import Sides, onto_itself
from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import CleancutError, Denied, NotFound, Refused
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.primitives.timestamps import format_time
from cleancut.ports.clock import Clock

HOLD_S = 48 * 3600.0
RENEW_S = 12 * 3600.0


@dataclass(slots=True)
class SourceHold:
    """The hold of one group; `refused`: why the source took none, "" if it did."""

    sides: Sides
    epoch: Epoch
    clock: Clock
    refused: str = ""
    _paths: list[str] = field(default_factory=list)
    _put_s: float = 0.0

    async def put(self) -> None:
        """Order: before anything of the group is read; repeatable, which renews it.

        Raises: NotFound, if the group was deleted; Refused, if both stores are one.
        """
        now_s = self.clock.wall_s()
        if self._paths and now_s < self._put_s + RENEW_S:
            return
        paths, store = self.sides.paths, self.sides.source.opened.store
        name = OperationId(f"copy.{secrets.token_hex(8)}")
        hold = Hold(
            operation=name, created_at=format_time(now_s), expires_at=format_time(now_s + HOLD_S)
        )
        path = paths.hold(self.epoch, name)
        if not self.refused:
            try:
                await store.put(path, encode(hold))
            except (Denied, Refused) as error:
                self.refused = error.message
            else:
                self._paths.append(path)
                self._put_s = now_s
                if await self.sides.target.opened.raw.stat(path) is not None:
                    raise onto_itself(self.sides.target.url)
        await self.check_kept()

    async def check_kept(self) -> None:
        """Raises: NotFound, if the group was deleted at the source."""
        store, paths = self.sides.source.opened.store, self.sides.paths
        if await store.stat(paths.tombstone(self.epoch)) is not None:
            raise NotFound(
                f"backup #{self.epoch} was deleted at the source", "see `cleancut backup list`"
            )

    async def drop(self) -> None:
        """The holds are gone, or else expire by themselves."""
        for path in self._paths:
            with contextlib.suppress(CleancutError):
                await self.sides.source.opened.store.delete(path)
