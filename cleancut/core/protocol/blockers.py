"""Blockers of a plan: what has to be done before it can start."""

from __future__ import annotations

from collections.abc import Sequence

from cleancut.core.primitives.errors import Refused


def check_unblocked(what: str, blockers: Sequence[str], hint: str) -> None:
    """`what`: the verb of the operation. Raises: Refused, with the first blocker and the number of
    others."""
    if blockers:
        more = len(blockers) - 1
        others = f" (and {more} more)" if more else ""
        raise Refused(f"cannot {what}: {blockers[0]}{others}", hint)
