"""Run of a copy: the groups to copy, one after the other, each verified once it is published."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from cleancut.api.copies import CopiedBackup, Copy
from cleancut.copying.group_copy import GroupCopy
from cleancut.copying.sides import Sides, prepare_target
from cleancut.copying.source_hold import SourceHold
from cleancut.copying.transfer import NO_LIMITS, CopyLimits, Transfer
from cleancut.core.format.manifest import Manifest, recipes_of
from cleancut.core.maintenance.copying import (
    CopyPlan,
    LeftOut,
    Scope,
    SourceGroup,
    plan_copy,
)
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound
from cleancut.core.primitives.ids import Epoch
from cleancut.core.verification.damage import NO_DAMAGE, Damage
from cleancut.ports.clock import Clock
from cleancut.repository.catalog import find_group, read_epochs, read_row, read_rows
from cleancut.repository.verification_log import list_checks, read_damage
from cleancut.verification.verify import ReadShare, verify_group

_PROGRESS_S = 10.0
_REPAIR = "`cleancut backup repair --from` mends it"
Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """`backup`: an id, an epoch or "latest", for one group; "" for others. `read_percent`: of each
    copied group's bytes, read back from the target afterwards; 0: only that all objects are
    there."""

    backup: str = ""
    scope: Scope = Scope.ONE
    read_percent: int = 100
    limits: CopyLimits = NO_LIMITS


@dataclass(slots=True)
class CopyRun:
    """Copies what `request` names. `notice`: takes lines of progress and warnings, for people."""

    sides: Sides
    request: CopyRequest
    clock: Clock
    notice: Notice
    _checked: set[str] = field(default_factory=set)
    _complete: set[str] = field(default_factory=set)
    _warnings: dict[str, None] = field(default_factory=dict)
    _said_s: float = 0.0

    async def run(self) -> Copy:
        """What was done, each group for itself: one that is damaged keeps no other from its turn.

        Raises: NotFound (no such backup); Refused (the target is the source, another cluster's, or
            was given another key); what the stores do.
        """
        began_s = time.monotonic()
        plan = await self._plan()
        await prepare_target(self.sides)
        if self.request.scope is Scope.NEW:
            self._complete |= await self._newest_there()
        done = [_left_out(one) for one in plan.left_out]
        done += [await self._copy(epoch) for epoch in plan.copied]
        return Copy(
            to=self.sides.target.url,
            backups=tuple(sorted(done, key=lambda one: one.epoch)),
            objects=sum(one.objects for one in done),
            size_bytes=sum(one.size_bytes for one in done),
            took_s=round(time.monotonic() - began_s, 3),
            warnings=tuple(self._warnings),
            problems=tuple(problem for one in done for problem in _problems_of(one)),
        )

    async def _plan(self) -> CopyPlan:
        paths, store = self.sides.paths, self.sides.source.opened.store
        there = await read_epochs(self.sides.target.opened.raw, paths)
        finished = await self._finished(there.groups)
        if self.request.scope is Scope.ONE:
            chosen = await find_group(store, paths, self.request.backup)
            groups = [_source_group(chosen, await read_damage(store, paths))]
        else:
            groups = await self._groups(finished)
        return plan_copy(groups, self.request.scope, there=finished, deleted_there=there.deleted)

    async def _finished(self, there: Sequence[Epoch]) -> set[Epoch]:
        """Of the target's groups those that need no look: a copy may have ended before it was
        verified, and a verified one may have been found damaged, then or later."""
        paths, target = self.sides.paths, self.sides.target.opened
        verified = {one.epoch for one in await list_checks(target.raw, paths)}
        finished = [epoch for epoch in there if epoch in verified]
        damage = await read_damage(target.store, paths) if finished else NO_DAMAGE
        if not damage.recipes and not damage.epochs:
            return set(finished)
        rows = [row async for row in read_rows(target.store, paths, finished)]
        return {
            row.epoch
            for row in rows
            if row.manifest is not None and not damage.affects(row.epoch, recipes_of(row.manifest))
        }

    async def _groups(self, there: set[Epoch]) -> list[SourceGroup]:
        """Those of the source; of ones that need no look, only the epoch."""
        paths, store = self.sides.paths, self.sides.source.opened.store
        epochs = (await read_epochs(store, paths)).groups
        if self.request.scope is Scope.NEW:
            epochs = [epoch for epoch in epochs if epoch not in there]
        damage = await read_damage(store, paths)
        found = []
        async for row in read_rows(store, paths, epochs):
            if row.manifest is None:
                why = row.error.message if row.error else "it cannot be read"
                found.append(SourceGroup(row.epoch, why))
                continue
            found.append(_source_group(row.manifest, damage))
        return found

    async def _newest_there(self) -> set[str]:
        """Recipes of the newest group of the target, if that can be read: a published group has
        all that it names."""
        store, paths = self.sides.target.opened.store, self.sides.paths
        epochs = (await read_epochs(store, paths)).groups
        row = await read_row(store, paths, epochs[-1]) if epochs else None
        damage = await read_damage(store, paths)
        recipes = recipes_of(row.manifest) if row is not None and row.manifest else set()
        return {recipe for recipe in recipes if recipe not in damage.recipes}

    async def _copy(self, epoch: Epoch) -> CopiedBackup:
        transfer = Transfer(self.sides, self.clock, self.request.limits)
        hold = SourceHold(self.sides, epoch, self.clock)

        def progress() -> None:
            if time.monotonic() > self._said_s + _PROGRESS_S:
                self._said_s = time.monotonic()
                counts = transfer.counts
                mib = counts.size_bytes / 1024**2
                self.notice(f"backup #{epoch}: {counts.objects} objects, {mib:.1f} MiB copied")

        self._said_s = time.monotonic()
        one = GroupCopy(self.sides, epoch, transfer, hold, self._checked, self._complete, progress)
        failure: CleancutError | None = None
        manifest: Manifest | None = None
        try:
            manifest = await one.run()
            if self.request.scope is Scope.NEW:
                self._complete |= recipes_of(manifest)
        except (Corrupt, NotFound) as error:
            failure = error
        finally:
            await hold.drop()
        if hold.refused:
            self._warnings[
                f"the source takes no hold ({hold.refused}): a gc run there may delete what is"
                " being copied, which ends the copy with an error"
            ] = None
        objects, size_bytes = transfer.counts.objects, transfer.counts.size_bytes
        state = "copied" if objects else "unchanged"
        copied = CopiedBackup(epoch=epoch, state=state, objects=objects, size_bytes=size_bytes)
        if manifest is None:
            assert failure is not None, "a copy without a manifest has failed"
            return replace(copied, state="failed", why=failure.message)
        return await self._verified(replace(copied, id=manifest.operation), manifest)

    async def _verified(self, copied: CopiedBackup, manifest: Manifest) -> CopiedBackup:
        """With what a look at the copy finds, or what is known of one that was there and
        verified."""
        store, paths = self.sides.target.opened.store, self.sides.paths
        percent = self.request.read_percent
        if copied.state == "unchanged":
            checks = await list_checks(store, paths)
            if any(one.epoch == manifest.epoch for one in checks):
                known = (await read_damage(store, paths, checks)).of(manifest)
                return replace(copied, damaged=tuple(f"{one}; {_REPAIR}" for one in known))
        share = ReadShare(percent)
        name = str(manifest.epoch)
        verdict = await verify_group(store, paths, name, share, notice=self.notice)
        damaged = verdict.missing + verdict.problems
        return replace(copied, verified=verdict.level, damaged=damaged)


def _source_group(manifest: Manifest, damage: Damage) -> SourceGroup:
    hurt = damage.of(manifest)
    return SourceGroup(manifest.epoch, f"it is damaged at the source: {hurt[0]}" if hurt else "")


def _problems_of(one: CopiedBackup) -> list[str]:
    failed = [f"backup #{one.epoch} is not copied: {one.why}"] if one.state == "failed" else []
    return failed + [f"the copy of backup #{one.epoch} is damaged: {text}" for text in one.damaged]


def _left_out(one: LeftOut) -> CopiedBackup:
    state = "left out" if one.expected else "failed"
    return CopiedBackup(epoch=one.epoch, state=state, why=one.why)
