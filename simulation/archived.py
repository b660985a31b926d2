"""The archive at the end of a history, with every object that ever was in the store, and the logs
that its chains are of."""

from __future__ import annotations

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


@dataclass(slots=True)
class Archived:
    """`entries`: by chain and number, all that was stored up to its end. `lives`: by chain, of
    which lives of logs it may be: those that hold all of its entries. `states`: what agents say."""

    chains: dict[str, Chain]
    ends: dict[str, ChainEnd]
    marks: list[Mark]
    states: list[ArchiveState]
    entries: dict[str, Entries] = field(default_factory=dict)
    lives: dict[str, list[LogLife]] = field(default_factory=dict)


def read_archived(shared: Surroundings, qdrant: SimQdrant) -> Archived:
    found = run_apart(_read(shared))
    for id, chain in found.chains.items():
        place = chain.collection, int(chain.shard)
        lives = [
            life
            for of, peer, replica in qdrant.replicas
            if of == place and peer == chain.peer
            for life in replica.log.lives
        ]
        held = found.entries.get(id, {}).items()
        found.lives[id] = [
            life for life in lives if all(life.entries.get(n) in datas for n, datas in held)
        ]
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
