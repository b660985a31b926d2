"""Attempts of an operation for people: how long each phase took, and why one failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cleancut.api.values import Attempt


def attempt_facts(attempts: Sequence[Attempt]) -> Iterator[tuple[str, str]]:
    """How long the newest attempt took, and what became of those before it."""
    if not attempts:
        return
    *before, newest = attempts
    if newest.duration_ms is not None:
        yield "took", seconds(newest.duration_ms)
    phases = [f"{one.phase.lower()} {seconds(one.duration_ms)}" for one in newest.phases]
    if phases:
        yield "phases", ", ".join(phases)
    for one in before:
        yield "attempt before", f"#{one.epoch} {ended(one)}"


def ended(one: Attempt) -> str:
    """`ended after 1.2 s in CUT: a drain took too long`."""
    lasted = "" if one.duration_ms is None else f" after {seconds(one.duration_ms)}"
    phase = f" in {one.phases[-1].phase}" if one.phases else ""
    cause = f": {one.error.message}" if one.error else ""
    return f"ended{lasted}{phase}{cause}"


def seconds(milliseconds: float) -> str:
    """A duration for people, to three digits or so."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, rest = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
