"""Progress of an operation, on stderr: bars that move on a terminal, else a line per change."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from cleancut.api.operations import Operation
from cleancut.api.state_words import step_of, title_of
from cleancut.api.work import away, work_of
from cleancut.cli.exit_codes import say
from cleancut.cli.render.attempts import ended
from cleancut.cli.render.progress_lines import Pace, Seen, amounts, progress_lines
from cleancut.core.primitives.visible import visible
from cleancut.core.protocol.states import State

_FRAMES_PER_S = 4
_SPINNER = "|/-\\"
_TENTHS = 10


class ProgressView(Protocol):
    """Sees each state of an operation once."""

    def see(self, operation: Operation) -> None: ...


@contextmanager
def open_progress(noun: str, *, quiet: bool) -> Iterator[ProgressView]:
    """The view that suits stderr."""
    if quiet:
        yield Silent()
    elif sys.stderr is not None and sys.stderr.isatty():
        bars = LiveBars(noun)
        with Live(
            console=Console(stderr=True, highlight=False),
            get_renderable=lambda: bars,
            transient=True,
            refresh_per_second=_FRAMES_PER_S,
        ):
            yield bars
    else:
        yield Lines(noun)


class Silent:
    """Shows nothing."""

    def see(self, operation: Operation) -> None:
        del operation


class LiveBars:
    """What `progress_lines` says, drawn again and again."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._operation: Operation | None = None
        self._pace = Pace()
        self._step: tuple[str, float] = ("", 0.0)

    def see(self, operation: Operation) -> None:
        now_s = time.monotonic()
        step = f"{operation.state} {getattr(operation, 'attempt', 0)}"
        if step != self._step[0]:
            self._step = step, now_s
        self._pace.see(work_of(operation), now_s)
        self._operation = operation

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._operation is None:
            return
        now_s = time.monotonic()
        seen = Seen(
            self._operation,
            headline(self._noun, self._operation),
            failed=tuple(failures(self._operation)),
            rate=self._pace.rate(now_s),
            step_s=now_s - self._step[1],
            now_s=time.time(),
        )
        spinner = _SPINNER[int(now_s * _FRAMES_PER_S) % len(_SPINNER)]
        lines = progress_lines(seen, options.max_width - 2, ascii_only=options.ascii_only)
        for place, line in enumerate(lines):
            mark = f"{spinner} " if place == 0 else "  "
            yield Text(f"{mark}{visible(line)}", no_wrap=True, overflow="ellipsis")


class Lines:
    """A line for each new state, for each attempt that failed, and for each tenth of the work."""

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._said: set[str] = set()
        self._line = ""
        self._tenth = 0

    def see(self, operation: Operation) -> None:
        line = headline(self._noun, operation)
        if line != self._line:
            self._line, self._tenth = line, 0
            say(line)
        gone = (f"waits for {one.agent}, which is away" for one in away(operation.progress))
        for text in (*failures(operation), *gone):
            if text not in self._said:
                self._said.add(text)
                say(f"{self._noun} {text}")
        work = work_of(operation)
        tenth = _TENTHS * work.done // work.total if work is not None and work.total else 0
        if work is not None and tenth > self._tenth:
            self._tenth = tenth
            say(f"{line}: {amounts(work)}, {100 * work.done // work.total} %")


def headline(noun: str, operation: Operation) -> str:
    """`backup #7: running (uploading), attempt 2 of 3`."""
    attempt, attempts = (getattr(operation, name, 0) for name in ("attempt", "attempts"))
    more = f", attempt {attempt}" if attempt > 1 else ""
    if more and attempts >= attempt:
        more += f" of {attempts}"
    if operation.state is State.PENDING and operation.warnings:
        more += f": {operation.warnings[0]}"
    return f"{noun} {title_of(operation)}: {step_of(operation)}{more}"


def failures(operation: Operation) -> Iterator[str]:
    """Why attempts before failed, while another one runs or is waited for."""
    for number, one in enumerate(operation.attempt_history, start=1):
        if one.error is not None:
            yield f"attempt {number} {ended(one)}"
