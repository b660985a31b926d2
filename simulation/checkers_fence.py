"""What must hold of fences."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.format.manifest import Manifest
from cleancut.core.protocol.fence import leftover_fences
from cleancut.core.protocol.states import Phase
from simulation.outcome import Checker, Outcome
from simulation.qdrant import SimQdrant
from simulation.trace import FenceSpan, Trace

BUDGET_S = 2.0


def note_fences(qdrant: SimQdrant, trace: Trace) -> None:
    """Keeps when each fence was there, as the cluster agreed on it."""
    there = sorted(one.name for one in leftover_fences(qdrant.aliases))
    now_s = qdrant.world.now_s
    for name in there:
        if (name, None) not in {(span.name, span.until_s) for span in trace.fences}:
            trace.fences.append(FenceSpan(name, now_s))
    for span in trace.fences:
        if span.until_s is None and span.name not in there:
            span.until_s = now_s


def fence_lifted(outcome: Outcome) -> Iterator[str]:
    """Every fence has gone in the end; where nothing else fails, within its budget and a second."""
    trace = outcome.shared.trace
    if outcome.qdrant.stopped:
        return  # no alias can be changed any more
    for span in trace.fences:
        if span.until_s is None:
            yield f"{span.name} stands since {span.from_s:.3f}"
        elif trace.calm and span.until_s - span.from_s > BUDGET_S + 1.0:
            yield f"{span.name} stood for {span.until_s - span.from_s:.3f} s"


def fenced_is_true(outcome: Outcome) -> Iterator[str]:
    """While shards of a group that is called fenced were cut, no client's write was let in; and in
    the round that found the standstill of one that is rolled forward, its fence stood."""
    puts = [(at_s, ctl.epoch, ctl.phase) for at_s, ctl in outcome.ctls()]
    for epoch, manifest in outcome.manifests().items():
        if not manifest.fenced:
            continue
        if manifest.shards[0].standstill is not None:
            yield from _unfenced_round(outcome, manifest, manifest.shards[0].standstill.round)
            continue
        cut_s = next(at_s for at_s, of, phase in puts if (of, phase) == (epoch, Phase.CUT))
        seal_s = next(at_s for at_s, of, phase in puts if (of, phase) == (epoch, Phase.SEAL))
        for entry in manifest.collections:
            for place in outcome.qdrant.places(entry.name):
                for kind, at_s in outcome.qdrant.logs[place]:
                    if kind == "w" and cut_s < at_s < seal_s:
                        yield f"group {epoch}: {place} took a write at {at_s:.3f}"


def _unfenced_round(outcome: Outcome, manifest: Manifest, number: int) -> Iterator[str]:
    """From the beginning of the round until an agent has answered in it."""
    epoch = manifest.epoch
    asked = [
        at_s
        for at_s, ctl in outcome.ctls()
        if (ctl.epoch, ctl.phase, ctl.round) == (epoch, Phase.STANDSTILL, number)
    ]
    answered = [
        at_s
        for at_s, _, ctl in outcome.shared.trace.votes
        if (ctl.epoch, ctl.phase, ctl.round) == (epoch, Phase.STANDSTILL, number)
    ]
    assert manifest.fence is not None
    stood = {
        leftover.alias
        for span in outcome.shared.trace.fences
        for leftover in leftover_fences([span.name])
        if leftover.epoch == epoch
        and span.from_s <= asked[0]
        and (span.until_s is None or span.until_s >= min(answered))
    }
    for entry in manifest.fence.aliases:
        if entry.alias not in stood:
            yield f"group {epoch}: the fence of {entry.alias} did not stand in round {number}"


FENCE_CHECKERS: tuple[Checker, ...] = (fence_lifted, fenced_is_true)
