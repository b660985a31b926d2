"""Lines of a progress display: a bar for each phase, one for all agents, and those behind. Pure."""

from __future__ import annotations

import textwrap
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len

from cleancut.api.operations import Operation, is_over
from cleancut.api.values import AgentProgress
from cleancut.api.work import Work, behind, of_agent, work_of
from cleancut.cli.render.attempts import seconds
from cleancut.cli.render.grids import size, span
from cleancut.core.primitives.timestamps import parse_time

MOST_PHASES = 6
MOST_AGENTS = 5
_LABEL = 11
_BAR = 30
_LEAST_BAR = 6
_WINDOW_S = 15.0


@dataclass(slots=True)
class Pace:
    """The rate of some work, from what was seen of it within the last seconds."""

    _what: str = ""
    _points: deque[tuple[float, int]] = field(default_factory=deque)

    def see(self, work: Work | None, now_s: float) -> None:
        what = work.what if work is not None and work.in_bytes else ""
        if what != self._what or work is None:
            self._what = what
            self._points.clear()
        if work is None or not what:
            return
        self._points.append((now_s, work.done))
        while len(self._points) > 2 and self._points[1][0] < now_s - _WINDOW_S:
            self._points.popleft()

    def rate(self, now_s: float) -> float | None:
        """Bytes a second; None while too little is seen."""
        if not self._points:
            return None
        (first_s, first), (_, last) = self._points[0], self._points[-1]
        return max(0, last - first) / (now_s - first_s) if now_s - first_s >= 2.0 else None


@dataclass(frozen=True, slots=True)
class Seen:
    """An operation as it is now. `failed`: why attempts before failed. `step_s`: how long it has
    been in its state. `now_s`: the wall clock."""

    operation: Operation
    headline: str
    failed: Sequence[str] = ()
    rate: float | None = None
    step_s: float = 0.0
    now_s: float = 0.0


def progress_lines(seen: Seen, width: int, *, ascii_only: bool = False) -> list[str]:
    """Each at most `width` cells wide, but for texts without a place to break."""
    operation = seen.operation
    lines = textwrap.wrap(f"{seen.headline}{_elapsed(seen)}", width)
    for text in seen.failed[-1:]:
        lines += textwrap.wrap(text, width, max_lines=3)
    if is_over(operation):
        return lines
    lines += _phases(seen, width, ascii_only=ascii_only)
    return lines + list(_agents(operation.progress))


def amounts(work: Work) -> str:
    """`stored 18.3 MiB of 29.5 MiB`, `2 of 8 steps`."""
    if not work.in_bytes:
        return f"{work.done} of {work.total} {work.what}"
    about = "about " if work.estimated else ""
    return f"{work.what} {size(work.done)}" + (
        f" of {about}{size(work.total)}" if work.total else ""
    )


def _elapsed(seen: Seen) -> str:
    began = seen.operation.created_at
    return f", {span(max(0.0, seen.now_s - parse_time(began)))}" if began and seen.now_s else ""


def _phases(seen: Seen, width: int, *, ascii_only: bool) -> Iterator[str]:
    """Those that have ended, with their durations, and the one under way."""
    history = seen.operation.attempt_history
    running = history[-1] if history and history[-1].duration_ms is None else None
    if running is None or not running.phases:
        work = work_of(seen.operation)
        if work is not None:
            yield _bar(seen.operation.state.lower(), work, seen.rate, width, ascii_only=ascii_only)
        return
    *ended, now = running.phases
    for one in ended[-MOST_PHASES:]:
        whole = Work("", 1, 1)
        yield _line(one.phase, whole, seconds(one.duration_ms), width, ascii_only=ascii_only)
    work = work_of(seen.operation)
    if work is None:
        yield _line(now.phase, Work("", 0, 1), span(seen.step_s), width, ascii_only=ascii_only)
    else:
        yield _bar(now.phase, work, seen.rate, width, ascii_only=ascii_only)


def _bar(name: str, work: Work, rate: float | None, width: int, *, ascii_only: bool) -> str:
    text = amounts(work)
    if work.total:
        text = f"{100 * work.done // work.total:3} %  {text}"
    if rate is not None:
        text += f"  {size(rate)}/s"
        if work.total > work.done and rate > 0:
            text += f"  {span((work.total - work.done) / rate)} left"
    return _line(name, work, text, width, ascii_only=ascii_only)


def _line(name: str, work: Work, text: str, width: int, *, ascii_only: bool) -> str:
    """Name, bar and text; the bar goes where it has no room, or nothing to show."""
    label = f"{name.lower():<{_LABEL}}"
    room = min(_BAR, width - cell_len(label) - cell_len(text) - 2)
    if room < _LEAST_BAR or not work.total:
        return f"{label}{text}"
    done = room * work.done // work.total
    full, empty = ("#", ".") if ascii_only else ("\u2501", "\u2500")
    return f"{label}{full * done}{empty * (room - done)}  {text}"


def _agents(progress: Sequence[AgentProgress]) -> Iterator[str]:
    """Agents with something to say of themselves, and those that the others wait for."""
    noted = [one for one in progress if "(" in one.phase]
    late = noted or behind(progress)
    for one in late[:MOST_AGENTS]:
        yield f"{'' if noted else 'behind: '}{agent_line(one)}"
    if len(late) > MOST_AGENTS:
        yield f"and {len(late) - MOST_AGENTS} more agents"


def agent_line(one: AgentProgress) -> str:
    """`qdrant-0 UPLOAD stored 3.0 MiB of 9.0 MiB`."""
    done, total = of_agent(one)
    if not done and not total:
        return f"{one.agent} {one.phase}"
    verb = "stored " if one.bytes_to_store else ""
    of = f" of {size(total)}" if total else ""
    return f"{one.agent} {one.phase} {verb}{size(done)}{of}"
