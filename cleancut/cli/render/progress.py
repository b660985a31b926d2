"""Progress of an operation, on stderr: a live table on a terminal, else a line per change."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner

from cleancut.api.operations import Operation, is_over
from cleancut.api.state_words import step_of, title_of
from cleancut.api.values import AgentProgress
from cleancut.cli.exit_codes import say
from cleancut.cli.render.grids import grid, size, span
from cleancut.core.protocol.states import State

LINE_EVERY_S = 10.0


class ProgressView(Protocol):
    """Sees each state of an operation once."""

    def see(self, operation: Operation) -> None: ...


@contextmanager
def open_progress(noun: str, *, quiet: bool) -> Iterator[ProgressView]:
    """The view that suits stderr."""
    if quiet:
        yield Silent()
    elif sys.stderr is not None and sys.stderr.isatty():
        with Live(console=Console(stderr=True), transient=True, refresh_per_second=8) as live:
            yield LiveTable(noun, live)
    else:
        yield Lines(noun)


class Silent:
    """Shows nothing."""

    def see(self, operation: Operation) -> None:
        del operation


class LiveTable:
    """A table that is redrawn: phase, bytes and rate of each agent."""

    def __init__(self, noun: str, live: Live) -> None:
        self._noun = noun
        self._live = live
        self._spinner = Spinner("dots")

    def see(self, operation: Operation) -> None:
        self._spinner.update(text=headline(self._noun, operation))
        self._live.update(Group(self._spinner, _agents(operation)))


class Lines:
    """A line for each new state, and for progress every 10 s."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._state = ""
        self._last = 0.0

    def see(self, operation: Operation) -> None:
        now = time.monotonic()
        line = headline(self._noun, operation)
        if line != self._state:
            self._state, self._last = line, now
            say(line)
        elif now - self._last >= LINE_EVERY_S and operation.progress:
            self._last = now
            say(f"{line}; {', '.join(agent_line(agent) for agent in operation.progress)}")


def headline(noun: str, operation: Operation) -> str:
    """`backup #7: running (uploading), attempt 2`."""
    attempt = getattr(operation, "attempt", 0)
    more = f", attempt {attempt}" if attempt > 1 else ""
    if operation.state is State.PENDING and (waits := getattr(operation, "warnings", ())):
        more += f": {waits[0]}"
    return f"{noun} {title_of(operation)}: {step_of(operation)}{more}"


def _agents(operation: Operation) -> RenderableType:
    if is_over(operation) or not operation.progress:
        return ""
    return grid(
        ("AGENT", "PHASE", "BYTES", "OF", "STORED", "RATE", "LEFT"),
        (
            (
                p.agent,
                p.phase,
                size(p.bytes_done),
                _total(p),
                size(p.bytes_stored) if p.bytes_stored else "",
                f"{size(p.bytes_per_s)}/s",
                _left(p),
            )
            for p in operation.progress
        ),
    )


def agent_line(progress: AgentProgress) -> str:
    """`qdrant-0 UPLOAD 3.0 MiB of 9.0 MiB at 1.0 MiB/s, 6 s left`."""
    total = _total(progress)
    done = size(progress.bytes_done) + (f" of {total}" if total else "")
    left = f", {_left(progress)} left" if _left(progress) else ""
    return f"{progress.agent} {progress.phase} {done} at {size(progress.bytes_per_s)}/s{left}"


def _left(progress: AgentProgress) -> str:
    """The time that the rest takes at this rate; "" if unknown."""
    rest = progress.bytes_total - progress.bytes_done
    return span(rest / progress.bytes_per_s) if rest > 0 and progress.bytes_per_s > 0 else ""


def _total(progress: AgentProgress) -> str:
    """What there is to do; "" if unknown: that of the backup before says nothing once it is
    passed."""
    known = progress.bytes_total and progress.bytes_total >= progress.bytes_done
    return size(progress.bytes_total) if known else ""
