"""What people read of a restore: its table, and what `clean` says."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from cleancut.api.restores import KeptCollection, Restore, RestoredCollection
from cleancut.cli.exit_codes import Exit
from cleancut.cli.render import restore_tables
from cleancut.cli.render.grids import span
from cleancut.core.protocol.states import State
from cleancut.rpc.server import Listen
from cleancut.testing.memory_api import MemoryApi
from cleancut_coordinator.api.servicers import serve_api
from tests.support.cli_runner import cleancut, run

LOOPBACK = Listen("127.0.0.1:0", grace_s=0.0)
KEPT = KeptCollection(collection="books", aliases=("live",))


def rows(collection: RestoredCollection, **more: Any) -> list[list[str]]:
    """The cells of the collections' table, titles first."""
    out = io.StringIO()
    value = Restore(id="rs-1", backup_id="bk-1", collections=(collection,), **more)
    Console(file=out, width=300).print(restore_tables.restore(value))
    text = out.getvalue().rpartition("\n\n")[2]
    return [line.split() for line in text.splitlines()]


def test_a_restore_without_a_report_claims_nothing() -> None:
    """Nothing was compared and nobody looked: neither no nor unknown."""
    (titles, cells) = rows(RestoredCollection(name="books", shards=2), state=State.CREATING)
    assert titles[-6:] == ["COUNTS", "SCHEMA", "KEYS", "QUERIES", "REPLICAS", "STATUS"]
    assert cells == ["books", "-", "-", "2", *"------"]


def test_a_restore_tells_what_it_made_and_what_was_equal() -> None:
    told = RestoredCollection(
        name="books",
        published_as="live",
        created_as="books@rs-1",
        shards=2,
        counts_equal=True,
        schema_equal=False,
        replicas_active=True,
        status="green",
    )
    (_, cells) = rows(told, state=State.DONE)
    assert cells[:4] == ["books", "live", "books@rs-1", "2"]
    assert cells[4:] == ["equal", "unequal", "-", "-", "active", "green"]


def test_times_are_as_short_as_can_be() -> None:
    assert [span(seconds) for seconds in (0, 2.5, 61, 3660)] == [
        "0 s",
        "3 s",
        "1 min 1 s",
        "1 h 1 min",
    ]


@pytest.mark.slow
def test_clean_names_what_it_drops() -> None:
    """Before it asks, and once it is done; a second time there is nothing."""

    async def scenario() -> None:
        operations = MemoryApi()
        operations.restores["rs-1"] = Restore(id="rs-1", state=State.DONE, kept=(KEPT,))
        async with serve_api(operations.api, LOOPBACK) as address:
            env = {"CLEANCUT_COORDINATOR": address}
            shown = await cleancut("restore", "show", "rs-1", **env)
            assert "`cleancut restore clean rs-1`" in shown.out
            asked = await cleancut("restore", "clean", "rs-1", **env)
            assert (asked.code, operations.restores["rs-1"].kept) == (Exit.USAGE, (KEPT,))
            assert "drop books" in asked.err
            done = await cleancut("restore", "clean", "rs-1", "--yes", **env)
            assert (done.code, operations.restores["rs-1"].kept) == (Exit.OK, ())
            assert "dropped books" in done.err
            again = await cleancut("restore", "clean", "rs-1", "--yes", **env)
            assert "keeps no old data" in again.err

    run(scenario())
