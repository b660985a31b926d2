"""The archive at the end of a history, with every object that ever was in the store, and the logs
that its chains are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cleancut.core.archive.plan import ArchiveState
from cleancut.core.archive.records import Chain, ChainEnd, Mark
from cleancut.core.primitives.codec import decode
from cleancut.repository.archive.reader import (
    list_marks,
    read_chains,
    read_chunk,
    read_chunk_head,
    read_ends,
    read_listed_marks,
)
from cleancut.testing.memory_store import MemoryStore
from simulation.logs import LogLife
from simulation.loop import run_apart
from simulation.network import Surroundings
from simulation.qdrant import SimQdrant

Entries = dict[int, set[bytes]]


@dataclass(frozen=True, slots=True)
class TrueLog:
    """A log as it was. `history`: of its replica's content, by time."""

    life: LogLife
    history: Sequence[tuple[float, int]]

    def holds(self, entries: Entries) -> bool:
        return all(self.life.entries.get(index) in datas for index, datas in entries.items())

    @property
    def has_failed(self) -> bool:
        """Whether an operation in it was applied later than it was logged."""
        return any(data.startswith(b"f") for data in self.life.entries.values())

    def content_at(self, last: int) -> int | None:
        """The replica's content once its log ended so; None, if it never did."""
        at_s = max((at_s for at_s, end in self.life.ends if end == last), default=None)
        if at_s is None:
            return None
        return next(content for when_s, content in reversed(self.history) if when_s <= at_s)


@dataclass(slots=True)
class Archived:
    """`entries`: by chain and number, all that was stored up to its end. `logs`: by chain, of which
    logs it may be: those that hold all of its entries. `states`: what agents say."""

    chains: dict[str, Chain]
    ends: dict[str, ChainEnd]
    marks: list[Mark]
    states: list[ArchiveState]
    entries: dict[str, Entries] = field(default_factory=dict)
    logs: dict[str, list[TrueLog]] = field(default_factory=dict)


def read_archived(shared: Surroundings, qdrant: SimQdrant) -> Archived:
    found = run_apart(_read(shared))
    for id, chain in found.chains.items():
        place = chain.collection, int(chain.shard)
        logs = [
            TrueLog(life, replica.history)
            for of, peer, replica in qdrant.replicas
            if of == place and peer == chain.peer
            for life in replica.log.lives
        ]
        stored = found.entries.get(id, {})
        found.logs[id] = [log for log in logs if log.holds(stored)]
    return found


async def _read(shared: Surroundings) -> Archived:
    store, paths, keys = MemoryStore(), shared.paths, shared.keys
    store.objects = shared.archive
    states = shared.model.list(keys.archive_states).items
    found = Archived(
        chains=await read_chains(store, paths),
        ends=await read_ends(store, paths),
        marks=await read_listed_marks(store, sorted(await list_marks(store, paths))),
        states=[decode(ArchiveState, kv.value, kv.key) for kv in states],
    )
    for path in [path for path in shared.archive if path.startswith(paths.archive_chunks)]:
        chunk = await read_chunk_head(store, path)
        for chain, entries in (await read_chunk(store, chunk)).items():
            known = found.entries.setdefault(chain, {})
            end = found.ends.get(chain)
            for entry in entries:
                if end is None or entry.index <= end.last:
                    known.setdefault(entry.index, set()).add(entry.data)
    return found
