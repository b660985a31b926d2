"""What must hold of the archive, whatever happens to agents, logs and the store.

Sources of truth: the lives of the simulated logs, and every object that ever was in the store.
"""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.archive.records import Chain
from simulation.archived import Archived
from simulation.outcome import Checker, Outcome

SETTLED_S = 8.0
"""What was written so long before the end is stored, if nothing goes wrong."""

NOTICED_S = 25.0
"""For so long a log that was replaced, rewound or removed may be taken for the one that was."""


def entries_are_true(outcome: Outcome) -> Iterator[str]:
    """All entries of a chain are those of one log, as it was before it was replaced or rewound,
    under their numbers; an entry that is stored twice is the same."""
    archived = outcome.archived
    if archived is None:
        return
    for name in sorted(archived.entries.keys() - archived.chains.keys()):
        yield f"chain {name} has entries and no record"
    for chain in archived.chains.values():
        found = archived.entries.get(chain.id, {})
        for index, datas in found.items():
            if len(datas) > 1:
                yield f"{_named(chain)}: entry {index} is stored as {sorted(datas)}"
        if found and not archived.logs[chain.id]:
            yield f"{_named(chain)}: entries {min(found)}..{max(found)} are of no one log"


def claims_are_stored(outcome: Outcome) -> Iterator[str]:
    """Nothing is missing up to the entry that an agent says is stored, or that ends a chain; an end
    has a reason."""
    archived = outcome.archived
    if archived is None:
        return
    for state in archived.states:
        for shard in state.shards:
            chain = archived.chains.get(shard.chain)
            if chain is None:
                yield f"{state.agent} follows chain {shard.chain}, which has no record"
            elif missing := _missing(archived, chain, shard.last):
                yield f"{_named(chain)}: {missing[:5]} of ..{shard.last} are not stored"
    for end in archived.ends.values():
        chain = archived.chains.get(end.chain)
        if not end.reason:
            yield f"chain {end.chain} ends without a reason"
        if chain is None:
            yield f"chain {end.chain} ends, and has no record"
        elif missing := _missing(archived, chain, end.last):
            yield f"{_named(chain)}: {missing[:5]} of ..{end.last}, its end, are not stored"


def _missing(archived: Archived, chain: Chain, last: int) -> list[int]:
    found = archived.entries.get(chain.id, {})
    return [index for index in range(chain.first, last + 1) if index not in found]


def marks_are_instants(outcome: Outcome) -> Iterator[str]:
    """There was an instant at which every log in a mark ended as it says, so that no later write is
    in it without an earlier one."""
    archived = outcome.archived
    for mark in archived.marks if archived else ():
        assert archived is not None
        instants = [(0.0, float("inf"))]
        for end in mark.ends:
            logs = archived.logs.get(end.chain, ())
            chain = archived.chains.get(end.chain)
            last = end.last if chain is None else max(end.last, chain.first - 1)
            spans = [span for log in logs for span in log.life.spans(last)]
            if not spans:
                yield f"mark of {mark.at_ms}: {end.collection}/{end.shard} never ended with {last}"
            instants = [
                (max(begin_s, from_s), min(end_s, to_s))
                for begin_s, end_s in instants
                for from_s, to_s in spans
                if max(begin_s, from_s) < min(end_s, to_s)
            ]
        if not instants:
            yield f"mark of {mark.at_ms}: there was no instant like it"


def archive_keeps_up(outcome: Outcome) -> Iterator[str]:
    """Where nothing goes wrong, all of a followed log is stored but for its newest entries."""
    archived, now_s = outcome.archived, outcome.shared.world.now_s
    if archived is None or not outcome.shared.trace.calm or outcome.shared.trace.turns:
        return
    for state in archived.states:
        for shard in state.shards:
            for life in (log.life for log in archived.logs.get(shard.chain, ())):
                old = [last for at_s, last in life.ends if at_s < now_s - SETTLED_S]
                known = max(shard.last, shard.first - 1)
                if life.ended_s == float("inf") and old and max(old) > known:
                    place = f"{shard.collection}/{shard.shard}"
                    yield f"{place}: stored up to {shard.last}, and {max(old)} is long there"


def breaks_are_noticed(outcome: Outcome) -> Iterator[str]:
    """No agent follows for long what is not there any more."""
    archived, now_s = outcome.archived, outcome.shared.world.now_s
    for state in archived.states if archived else ():
        assert archived is not None
        for shard in state.shards:
            logs = archived.logs.get(shard.chain, ())
            if logs and all(log.life.ended_s < now_s - NOTICED_S for log in logs):
                yield f"{_named(archived.chains[shard.chain])} is followed, and its log is gone"


def _named(chain: Chain) -> str:
    return f"chain {chain.id} of {chain.collection}/{chain.shard} at peer {chain.peer}"


ARCHIVE_CHECKERS: tuple[Checker, ...] = (
    entries_are_true,
    claims_are_stored,
    marks_are_instants,
    archive_keeps_up,
    breaks_are_noticed,
)
