"""Flags of a restore that overwrites a collection, and how it shows where the old data is."""

from __future__ import annotations

import io
from typing import Any

import click
import pytest
from rich.console import Console

from cleancut.api.restores import OverwrittenCollection, Restore
from cleancut.cli.commands.restore_options import options_of
from cleancut.cli.render import restore_tables
from cleancut.core.protocol.states import State
from tests.unit.cli.test_moments import NONE

OVER: dict[str, Any] = {**NONE, "overwrite": True}
OLD = OverwrittenCollection(collection="docs", backup_id="b-1", backup_epoch=7)


def test_flags_of_an_overwrite_become_its_options() -> None:
    asked = options_of({**OVER, "confirm": "docs"})
    assert (asked.overwrite, asked.confirm, asked.collections) == (True, "docs", ("docs",))
    assert options_of(OVER).confirm == ""  # a plan has no such flag


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({**OVER, "collections": ()}, "one --collection"),
        ({**OVER, "collections": ("docs", "more")}, "one --collection"),
        ({**OVER, "beside": True}, "--beside"),
        ({**OVER, "replace": True}, "--replace"),
        ({**NONE, "confirm": "docs"}, "--overwrite"),
    ],
)
def test_flags_that_contradict_it_are_refused(what: dict[str, Any], words: str) -> None:
    with pytest.raises(click.UsageError, match=words):
        options_of(what)


@pytest.mark.parametrize(
    ("old", "state", "words"),
    [
        (OLD, State.DONE, "backup 7 (b-1) of docs, not held"),
        (OverwrittenCollection(collection="docs", backup_id="b-1"), State.PENDING, "b-1 of docs"),
    ],
)
def test_the_old_data_is_shown(old: OverwrittenCollection, state: State, words: str) -> None:
    assert words in _shown(Restore(id="r-1", state=state, overwritten=old))


def test_until_when_it_is_held_is_shown_with_what_ends_that() -> None:
    old = OverwrittenCollection(
        collection="docs", backup_id="b-1", backup_epoch=7, held_until="2026-12-07T14:03:00Z"
    )
    done = _shown(Restore(id="r-1", state=State.DONE, overwritten=old))
    assert "of docs, held until 2026-12-0" in done
    assert "; `cleancut restore finish r-1` ends that" in done
    assert "finish" not in _shown(Restore(id="r-1", state=State.VERIFYING, overwritten=old))


def _shown(value: Restore) -> str:
    text = io.StringIO()
    Console(file=text, width=400).print(restore_tables.restore(value))
    return text.getvalue()
