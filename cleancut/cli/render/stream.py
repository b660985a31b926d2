"""Stream of an operation's states on stdout: one JSON document a line for each change."""

from __future__ import annotations

from cleancut.api.operations import Operation
from cleancut.cli.exit_codes import say
from cleancut.cli.render.output import line_of
from cleancut.cli.terminal import write_out
from cleancut.core.primitives.errors import CleancutError


class StateStream:
    """A view that writes each state that differs from the one before. `unread`: the reader has
    gone, so that nothing is left to wait for."""

    def __init__(self, noun: str) -> None:
        self.unread = False
        self._noun = noun
        self._last: Operation | None = None
        self._lost = False

    def see(self, operation: Operation) -> None:
        """Trouble with stdout is said once: it changes nothing about the operation."""
        if operation == self._last or self._lost:
            return
        self._last = operation
        try:
            self.unread = not write_out(line_of(self._noun, operation))
        except CleancutError as error:
            self._lost = True
            say(f"the states of {self._noun} {operation.id} are not printed: {error.message}")
