"""Timeline of an operation, made from its traces: lanes of the coordinator and of each agent.

All offsets are milliseconds from the beginning of the operation's first attempt that is known. An
agent's band begins where the coordinator's phase does and is as long as the agent's own clock says,
so clocks of different machines are never compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cleancut.core.format.manifest import Manifest
from cleancut.core.format.story import Story
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import Phase
from cleancut.core.protocol.trace import CUT, Trace

COORDINATOR = "coordinator"


class Band(Record, frozen=True):
    """A phase in a lane. `ok`: False if the agent voted against, or the attempt ended in it.
    `read_bytes`, `stored_bytes`: by that agent, in the attempt up to the end of the band."""

    phase: str
    start_ms: int
    end_ms: int
    ok: bool = True
    read_bytes: int = 0
    stored_bytes: int = 0

    @property
    def duration_ms(self) -> int:
        return self.end_ms - self.start_ms


class TimelineMark(Record, frozen=True):
    """`what`: see `protocol.trace`."""

    what: str
    at_ms: int


class Lane(Record, frozen=True):
    """The bands of the coordinator, or of one agent, in the order of time."""

    name: str
    bands: tuple[Band, ...] = ()
    marks: tuple[TimelineMark, ...] = ()


class TimelineAttempt(Record, frozen=True):
    """One attempt; the first of `lanes` is the coordinator's. `running`: it has not ended.
    `reason`, `message`: why it ended, "" if it succeeded."""

    epoch: Epoch
    began_at: str
    start_ms: int
    end_ms: int
    lanes: tuple[Lane, ...] = ()
    running: bool = False
    reason: str = ""
    message: str = ""

    @property
    def duration_ms(self) -> int:
        return self.end_ms - self.start_ms


class Timeline(Record, frozen=True):
    """`began_at`: RFC 3339, UTC; "": nothing is known. Order: attempts as they were made."""

    began_at: str = ""
    total_ms: int = 0
    attempts: tuple[TimelineAttempt, ...] = ()


def timeline_of(source: Manifest | Story | Operation, now_s: float = 0.0) -> Timeline:
    """The timeline of a backup, of a story, or of an operation, also of one under way. `now_s`: the
    wall clock, to which an attempt that has not ended is drawn; 0: to its last step."""
    return timeline(traces_of(source), now_s)


def traces_of(source: Manifest | Story | Operation) -> tuple[Trace, ...]:
    """The attempts that are known, the oldest first; none of what an older version wrote."""
    if isinstance(source, Manifest):
        return source.story.traces if source.story is not None else ()
    operation = source.operation if isinstance(source, Story) else source
    return operation.traces if operation is not None else ()


def timeline(traces: Sequence[Trace], now_s: float = 0.0) -> Timeline:
    """Attempts one after the other: an attempt never begins before the one ahead of it has
    ended."""
    if not traces:
        return Timeline()
    origin_s = parse_time(traces[0].began_at)
    attempts: list[TimelineAttempt] = []
    for trace in traces:
        wall_ms = round((parse_time(trace.began_at) - origin_s) * 1000)
        start_ms = max(wall_ms, attempts[-1].end_ms if attempts else 0)
        now_ms = round((now_s - origin_s) * 1000) - start_ms if now_s else 0
        attempts.append(_attempt(trace, start_ms, now_ms))
    return Timeline(
        began_at=traces[0].began_at, total_ms=attempts[-1].end_ms, attempts=tuple(attempts)
    )


def phases_of(trace: Trace, end_ms: int = 0) -> tuple[Band, ...]:
    """The coordinator's phases of one attempt, from its beginning; none of one that ended before
    the first. `end_ms`: of one that has not ended."""
    if not trace.steps:
        return ()
    end_ms = length_of(trace, end_ms)
    ends = [*(step.at_ms for step in trace.steps[1:]), end_ms]
    last = len(trace.steps) - 1
    return tuple(
        Band(
            phase=step.phase,
            start_ms=step.at_ms,
            end_ms=max(step.at_ms, end),
            ok=not (trace.reason and index == last),
        )
        for index, (step, end) in enumerate(zip(trace.steps, ends, strict=True))
    )


def length_of(trace: Trace, now_ms: int = 0) -> int:
    """How long the attempt took, or has taken so far."""
    if trace.ended_ms >= 0:
        return trace.ended_ms
    known = [step.at_ms for step in trace.steps] + [mark.at_ms for mark in trace.marks]
    return max([now_ms, *known])


def _attempt(trace: Trace, start_ms: int, now_ms: int) -> TimelineAttempt:
    end_ms = length_of(trace, now_ms)
    phases = phases_of(trace, end_ms)
    own = Lane(
        name=COORDINATOR,
        bands=tuple(_moved(band, start_ms) for band in phases),
        marks=tuple(
            TimelineMark(what=mark.what, at_ms=start_ms + mark.at_ms) for mark in trace.marks
        ),
    )
    return TimelineAttempt(
        epoch=trace.epoch,
        began_at=trace.began_at,
        start_ms=start_ms,
        end_ms=start_ms + end_ms,
        lanes=(own, *_agents(trace, phases, start_ms)),
        running=trace.ended_ms < 0,
        reason=trace.reason,
        message=trace.message,
    )


def _agents(trace: Trace, phases: Sequence[Band], start_ms: int) -> Iterator[Lane]:
    """A lane for each agent that voted in any phase."""
    for name in sorted({work.agent for work in trace.work}):
        mine = {work.phase: work for work in trace.work if work.agent == name}
        bands, marks = [], []
        for band in phases:
            work = mine.pop(band.phase, None)  # of a phase that came twice, once
            if work is None:
                continue
            began_ms = start_ms + band.start_ms
            ended_ms = began_ms + work.ms
            bands.append(
                Band(
                    phase=band.phase,
                    start_ms=began_ms,
                    end_ms=ended_ms,
                    ok=work.yes,
                    read_bytes=work.read_bytes,
                    stored_bytes=work.stored_bytes,
                )
            )
            if band.phase == Phase.CUT and work.yes:
                marks.append(TimelineMark(what=CUT, at_ms=ended_ms))
        yield Lane(name=name, bands=tuple(bands), marks=tuple(marks))


def _moved(band: Band, start_ms: int) -> Band:
    return Band(
        phase=band.phase,
        start_ms=band.start_ms + start_ms,
        end_ms=band.end_ms + start_ms,
        ok=band.ok,
    )
