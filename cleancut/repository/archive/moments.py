"""Moments found in a store: the backup and the archived entries that a restore is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from functools import partial

from msgspec.structs import replace

from cleancut.core.archive.entries import (
    belongs,
    check_later,
    counted_from,
    entries_within,
    found_by_time,
    is_shared,
    nearest,
    window_of,
)
from cleancut.core.archive.plan import Place
from cleancut.core.archive.records import Chain, ChainEnd, Mark
from cleancut.core.archive.targets import (
    NEAR_MS,
    NewerBase,
    check_asked,
    check_behind,
    chosen_collections,
    resolve,
)
from cleancut.core.archive.views import Archive, Base, ChainView, base_of, ended
from cleancut.core.format.manifest import Manifest
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import CleancutError, NotFound, Refused
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import format_time, parse_time
from cleancut.core.protocol.moment import LogEntry, Moment, MomentRequest
from cleancut.core.wal.operations import Operation, decode_operation
from cleancut.ports.store import Store
from cleancut.repository.archive.reader import (
    AROUND_MS,
    ArchiveIndex,
    list_marks,
    read_chains,
    read_ends,
    read_listed_marks,
)
from cleancut.repository.catalog import list_epochs, load_group, read_rows
from cleancut.repository.shards.recipe_reader import missing_packs
from cleancut.repository.verification_log import read_damage

_NEWEST_MS = 3_600_000
_TRIED = 50
"""Backups that are looked at, at most."""
_LOADED = 10
"""Looks at the archive, at most."""
_SHOWN = 50


async def find_moment(
    store: Store,
    paths: Paths,
    asked: MomentRequest,
    *,
    now_ms: int,
    backup: Epoch | None = None,
    named: Collection[str] = (),
) -> tuple[Manifest, Moment]:
    """The backup and the moment on it. `backup` None: the newest that serves; `named`: the
    collections, none for all that are archived.

    Raises: Refused, NotFound, Invalid, of what the newest backup lacks for it.
    """
    check_asked(asked, now_ms)
    finder = await _Finder.load(store, paths, asked, now_ms)
    first: CleancutError | None = None
    newer: NewerBase | None = None
    async with aclosing(finder.candidates(backup)) as candidates:  # type: ignore[type-var]
        async for manifest, next_ms in candidates:
            try:
                return manifest, await finder.moment(manifest, next_ms, named)
            except NewerBase as error:
                newer = error
            except (Refused, NotFound) as error:
                first = first or error
            if finder.loads >= _LOADED:
                break
    if first is not None:
        raise first
    if newer is not None:
        raise Refused(newer.message, newer.hint)
    raise Refused(
        f"no backup was made before {format_time(finder.limit_ms / 1000)}",
        "see `cleancut backup list`; a moment needs a backup before it",
    )


class _Finder:
    """One request, and what the store has of chains and marks."""

    def __init__(self, store: Store, paths: Paths, asked: MomentRequest, now_ms: int) -> None:
        self._store, self._paths, self._asked, self._now_ms = store, paths, asked, now_ms
        self._chains: Mapping[str, Chain] = {}
        self._ends: Mapping[str, ChainEnd] = {}
        self._marks: dict[str, int] = {}
        self.limit_ms, self.loads = now_ms, 0

    @classmethod
    async def load(cls, store: Store, paths: Paths, asked: MomentRequest, now_ms: int) -> _Finder:
        finder = cls(store, paths, asked, now_ms)
        finder._chains = await read_chains(store, paths)
        finder._ends = await read_ends(store, paths)
        finder._marks = await list_marks(store, paths)
        named = [finder._marks[path] for path in finder._named()]
        finder.limit_ms = asked.at_ms or max(named, default=now_ms)
        return finder

    async def candidates(self, backup: Epoch | None) -> AsyncIterator[tuple[Manifest, int]]:
        """The backups that may serve, the newest first, each with when the next one was made."""
        next_ms = self._now_ms
        if backup is not None:
            yield await load_group(self._store, self._paths, backup), next_ms
            return
        epochs = (await list_epochs(self._store, self._paths))[::-1][:_TRIED]
        async with aclosing(read_rows(self._store, self._paths, epochs)) as rows:  # type: ignore[type-var]
            async for row in rows:
                if row.manifest is None or row.manifest.imported is not None:
                    continue
                cut_ms = round(parse_time(row.manifest.cut_at) * 1000)
                if cut_ms <= self.limit_ms:
                    yield row.manifest, next_ms
                next_ms = cut_ms

    async def moment(self, manifest: Manifest, next_ms: int, named: Collection[str]) -> Moment:
        """The moment on this backup. Raises: Refused, NotFound, Invalid."""
        base = base_of(manifest)
        named = manifest.named(named)
        chosen, _ = chosen_collections(self._asked, base, named)
        keys = [key for key in sorted(base.shards) if key[0] in chosen]
        self._check_entry(base, chosen[0])
        await self._check_whole(manifest, chosen)
        return await self._within(base, keys, next_ms)

    def _check_entry(self, base: Base, collection: str) -> None:
        """Raises: Refused, NotFound, before anything is read for an entry that the backup has."""
        entry = self._asked.before or self._asked.without
        if entry is not None:
            check_behind(base, (collection, entry.shard_id), entry.index)

    async def _check_whole(self, manifest: Manifest, collections: Collection[str]) -> None:
        """Raises: Refused, if the backup is damaged."""
        recipes = {one.recipe for one in manifest.shards if one.collection in collections}
        damage = await read_damage(self._store, self._paths)
        what = "a verification found it damaged" if damage.affects(manifest.epoch, recipes) else ""
        if not what:
            lacks = await missing_packs(self._store, self._paths, sorted(recipes))
            what = f"{lacks[0].path}: {lacks[0].why}" if lacks else ""
        if what:
            raise Refused(
                f"backup #{manifest.epoch}, on which logs would be replayed, is damaged: {what}",
                "name an older backup: `cleancut backup list`",
            )

    async def _within(self, base: Base, keys: Sequence[Place], next_ms: int) -> Moment:
        """Looks at the chunks of the time that matters, and, if that is not enough, at all since
        the logs are followed."""
        asked = self._asked
        until_ms = self.limit_ms if asked.at_ms or asked.mark else self._now_ms
        if asked.before is not None:
            until_ms = next_ms
        chains = {base.shards[key].chain for key in keys}
        began_ms = [self._chains[one].created_at_ms for one in chains if one in self._chains]
        # Chunks are named by the clocks of agents, which may be ahead of this one.
        near = base.cut_ms - AROUND_MS, until_ms + AROUND_MS
        far = min([*began_ms, near[0]]), self._now_ms + AROUND_MS
        try:
            return await self._in_span(base, keys, near)
        except (Refused, NotFound):
            if near == far:
                raise
        return await self._in_span(base, keys, far)

    async def _in_span(self, base: Base, keys: Sequence[Place], span: tuple[int, int]) -> Moment:
        self.loads += 1
        chains = sorted({base.shards[key].chain for key in keys})
        index = await ArchiveIndex.load(
            self._store, self._paths, chains=chains, since_ms=span[0], until_ms=span[1]
        )
        views = {one: self._view(index, one) for one in chains if one in self._chains}
        archive = Archive(views, (), *span)
        archive = Archive(views, await self._near_marks(base, keys, archive), *span)
        named = sorted({collection for collection, _ in keys})
        belonging, doubts = await self._belonging(index, base, keys, archive)
        moment = resolve(self._asked, base, archive, named, belonging=belonging)
        later = [warning async for warning in self._later(index, moment)]
        return replace(moment, warnings=(*moment.warnings, *doubts, *later))

    def _view(self, index: ArchiveIndex, chain: str) -> ChainView:
        mine = self._chains[chain]
        return ChainView(
            mine,
            ended(mine, self._ends.get(chain), self._chains.values()),
            tuple(index.ranges(chain)),
            tuple(index.looks(chain)),
            partial(index.size_bytes, chain),
            next(iter(index.damaged.values()), ""),
        )

    # Marks

    def _named(self) -> list[str]:
        """The paths of the marks with the name that is asked for."""
        name = self._asked.mark
        if not name:
            return []
        mark = self._paths.archive_mark
        return [path for path, ms in self._marks.items() if path == mark(ms, name)]

    async def _near_marks(
        self, base: Base, keys: Sequence[Place], archive: Archive
    ) -> tuple[Mark, ...]:
        """The marks that matter for what is asked."""
        if self._asked.mark:
            newest = sorted(self._marks, key=lambda path: -self._marks[path])[:_SHOWN]
            return await self._read(self._named() or newest)
        if self._asked.at_ms:
            return await self._read(self._around(self._asked.at_ms, self._asked.at_ms))
        if self._asked.before is not None:
            chain = base.shards[keys[0][0], self._asked.before.shard_id].chain
            try:
                window = window_of(archive, chain, self._asked.before.index)
            except NotFound:
                return ()  # the entry is not there: `resolve` says what is
            return await self._read(self._around(window.start_ms, window.end_ms))
        return await self._read(self._around(self._now_ms - _NEWEST_MS, self._now_ms))

    def _around(self, start_ms: int, end_ms: int) -> list[str]:
        """The marks of some time, and the next one on either side of it."""
        near = [p for p, ms in self._marks.items() if start_ms - NEAR_MS <= ms <= end_ms + NEAR_MS]
        before = [(ms, path) for path, ms in self._marks.items() if ms < start_ms - NEAR_MS]
        after = [(ms, path) for path, ms in self._marks.items() if ms > end_ms + NEAR_MS]
        sides = [max(before)[1]] if before else []
        sides += [min(after)[1]] if after else []
        return near + sides

    async def _read(self, names: Sequence[str]) -> tuple[Mark, ...]:
        return tuple(await read_listed_marks(self._store, names))

    # Entries that are named

    async def _belonging(
        self, index: ArchiveIndex, base: Base, keys: Sequence[Place], archive: Archive
    ) -> tuple[dict[Place, int], tuple[str, ...]]:
        """Of an operation by filter, the entries of the other shards that are of its request, and
        warnings."""
        entry = self._asked.before or self._asked.without
        if entry is None:
            return {}, ()
        key = keys[0][0], entry.shard_id
        chain = base.shards[key].chain if key in base.shards else ""
        view = archive.chains.get(chain)
        if view is None or view.reach(entry.index) < entry.index:
            return {}, ()
        (named,) = [one async for _, one in _operations(index, chain, entry.index, entry.index)]
        if not is_shared(named):
            return {}, ()

        async def same(log: str, first: int, last: int) -> list[int]:
            return [
                at async for at, one in _operations(index, log, first, last) if belongs(named, one)
            ]

        window = window_of(archive, chain, entry.index)
        chains = {one: base.shards[one].chain for one in keys if one != key}
        within = {
            one: entries_within(archive, one, window)
            for one in chains.values()
            if one in archive.chains
        }
        upto = {chain: entry.index, **{one: last for one, (_, last) in within.items()}}
        marks = await self._read(self._around(window.start_ms, window.end_ms))
        since = counted_from(marks, archive, upto, chain=chain, index=entry.index)
        turn = len(await same(chain, since[chain] + 1, entry.index)) - 1 if since else 0
        found, by_time = dict[Place, int](), list[LogEntry]()
        for other, log in chains.items():
            if log not in within:
                continue
            first, last = within[log]
            first = since[log] + 1 if since else max(first, base.shards[other].end + 1)
            all_of = await same(log, first, last)
            counted = all_of[turn : turn + 1] if since else []
            at = nearest(archive, log, window, counted or all_of)
            if at is not None:
                found[other] = at
                by_time += [] if counted else [LogEntry(shard_id=other[1], index=at)]
        return found, found_by_time(entry, by_time)

    async def _later(self, index: ArchiveIndex, moment: Moment) -> AsyncIterator[str]:
        """Warnings of entries that depend on one that is left out. Raises: Refused."""
        for shard in moment.shards:
            for left_out in shard.left_out:
                later = [
                    (at, one)
                    async for at, one in _operations(index, shard.chain, left_out + 1, shard.last)
                ]
                name = f"shard {shard.shard_id} of {shard.collection!r}"
                warning = check_later(name, left_out, later, force=self._asked.force)
                if warning:
                    yield warning


async def _operations(
    index: ArchiveIndex, chain: str, first: int, last: int
) -> AsyncIterator[tuple[int, Operation]]:
    if last < first:
        return
    async with aclosing(index.entries(chain, first, last)) as entries:  # type: ignore[type-var]
        async for entry in entries:
            yield entry.index, decode_operation(entry.data)
