"""Every topology that a restore must serve, through the real command line against real processes.

Usage: python -m tests.e2e.topologies [--qdrant auto|real|standin] [--json FILE] [ROW ...]
Prints a table, after Ctrl-C as far as it is; exit code 1 if any cell of it is not yes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from uuid import UUID

from qdrant_client import models
from qdrant_client.http.exceptions import ApiException
from rich import box
from rich.console import Console
from rich.table import Table

from cleancut.core.primitives.errors import CleancutError
from cleancut_devcluster.demo.comparison import Answers
from cleancut_devcluster.demo.data import ALIAS, COLLECTION
from cleancut_devcluster.launch.qdrant import Kind, real_binary
from cleancut_devcluster.launch.setup import choose_qdrant
from tests.e2e.case import SHAPE, Case, Launch, Outcome, uneven
from tests.e2e.contents import ODD, client_of
from tests.e2e.world import Launcher, World

COLUMNS = ("active", "counts", "top", "routing")
TITLES = ("all Active", "counts equal", "top-10 equal", "routing right")


def onto(
    launch: Launch,
    before: int,
    after: int,
    *,
    options: tuple[str, ...] = (),
    replicas: int = 1,
    keyed: bool = False,
) -> Outcome:
    """All peers are lost; the group comes back onto `after` new ones."""
    case = Case.begin(launch, before, replicas, keyed=keyed)
    case.world.lose_all(after)
    assert case.world.collections() == []
    case.restore(*options)
    return case.compare()


def spread(launch: Launch) -> Outcome:
    """Qdrant spreads each collection by itself; the rebalance that follows sees all of them."""
    case = Case.begin(launch, 1, 2)
    case.world.lose_all(3)
    done = case.restore(rebalance=True)
    followed = case.world.ok("rebalance", "rebalance", "show", done["rebalance_id"])
    case.outcome.expect(followed["state"] == "DONE", f"the rebalance: {followed['error']}")
    case.outcome.others += case.world.run(uneven(case.world, list(case.names.values())))
    return case.compare()


def renamed(launch: Launch) -> Outcome:
    """Next to the data that it is a copy of, aliases stay where they are."""
    case = Case.begin(launch, 2)
    before = case.world.answers()
    case.names = {COLLECTION: "papers", ODD: "odd again"}
    case.alias = "papers"
    case.restore(*(f"--rename={old}={new}" for old, new in case.names.items()))
    case.outcome.expect(case.world.answers() == before, "the first copy has changed")
    return case.compare()


def subset(launch: Launch) -> Outcome:
    """One collection is lost and comes back; the other one is not touched."""
    case = Case.begin(launch, 2)
    case.world.run(_drop(case.world, ODD))
    done = case.restore("--collection", ODD)
    case.outcome.expect([one["name"] for one in done["collections"]] == [ODD], "others, too")
    return case.compare()


def beside(launch: Launch) -> Outcome:
    """Nobody sees it under its name before one call makes that an alias."""
    case = Case.begin(launch, 2)
    case.world.run(_drop(case.world, COLLECTION))
    done = case.restore("--collection", COLLECTION, "--beside")
    made = f"{COLLECTION}@{done['id']}"
    case.outcome.expect(made in case.world.collections(), f"no {made}")
    case.main = _with_aliases(case.main, {COLLECTION: made, ALIAS: made})
    return case.compare()


def replaced(launch: Launch) -> Outcome:
    """The alias shows the restored data at once; the old data stays until it is cleaned up."""
    case = Case.begin(launch, 2)
    case.world.run(_spoil(case.world))
    spoilt = case.world.answers()
    done = case.restore("--collection", COLLECTION, "--replace")
    made = f"{COLLECTION}@{done['id']}"
    kept = replace(spoilt, aliases=(), top=())
    now = replace(case.world.answers(), aliases=(), top=())
    case.outcome.expect(now == kept, "the old data has changed")
    case.world.ok("restore", "restore", "clean", done["id"], "--yes")
    case.outcome.expect(case.world.collections() == sorted([made, ODD]), "the old data is left")
    case.names = {COLLECTION: ALIAS, ODD: ODD}
    case.main = _with_aliases(case.main, {ALIAS: made})
    return case.compare()


def other_cluster(launch: Launch) -> Outcome:
    """Peers, agents, coordinators and etcd are lost; a cluster of another name has the store."""
    case = Case.begin(launch, 2)
    setup = case.world.setup
    case.world.run(setup.lose_all_peers())
    case.world = launch(peers=2, coordinators=1, store=setup.store_url, cluster="other")
    case.world.shape = SHAPE
    case.restore("--from-cluster", setup.cluster)
    return case.compare()


def empty_etcd(launch: Launch) -> Outcome:
    """The same cluster after the loss of etcd, too: the store alone is left."""
    case = Case.begin(launch, 2)
    case.world.run(case.world.setup.lose_all_peers())
    case.world = launch(peers=2, coordinators=1, store=case.world.setup.store_url)
    case.world.shape = SHAPE
    case.restore()
    case.world.ok("identity", "adopt", "--yes")
    return case.compare()


async def _drop(world: World, name: str) -> None:
    async with client_of(world.setup.peers[0].url) as client:
        await client.delete_collection(name)


async def _spoil(world: World) -> None:
    """What a bad release does to live data."""
    async with client_of(world.setup.peers[0].url) as client:
        points: list[int | str | UUID] = list(range(0, world.shape.points, 5))
        await client.delete(COLLECTION, models.PointIdsList(points=points), wait=True)


def _with_aliases(answers: Answers, aliases: dict[str, str]) -> Answers:
    told = (f"{alias} -> {collection}" for alias, collection in aliases.items())
    return replace(answers, aliases=tuple(sorted(told)))


ROWS: dict[str, Callable[[Launch], Outcome]] = {
    "3 -> 3": partial(onto, before=3, after=3),
    "3 -> 2": partial(onto, before=3, after=2),
    "3 -> 1": partial(onto, before=3, after=1),
    "3 -> 5": partial(onto, before=3, after=5),
    "RF 2, 3 -> 2": partial(onto, before=3, after=2, replicas=2),
    "RF 2, 1 -> 3": partial(onto, before=1, after=3, replicas=2),
    "RF 2, 1 -> 3, rebalance": spread,
    "custom keys, 3 -> 2": partial(onto, before=3, after=2, keyed=True),
    "rename": renamed,
    "subset": subset,
    "beside": beside,
    "replace alias": replaced,
    "other cluster, empty etcd": other_cluster,
    "same cluster, empty etcd": empty_etcd,
}
FAST = ("3 -> 1", "RF 2, 1 -> 3")
"""Those that every run of all tests has; the others are in the table."""


def run_row(name: str, kind: Kind, runner: asyncio.Runner) -> Outcome:
    """The row's outcome; whatever ends it early is in it, too."""
    with ExitStack() as stack:
        root = stack.enter_context(tempfile.TemporaryDirectory(prefix="topologies-"))
        try:
            return ROWS[name](Launcher(stack, runner, kind, Path(root)))
        except (CleancutError, AssertionError, TimeoutError, ApiException) as error:
            return Outcome(others=[f"{type(error).__name__}: {error}"])


def table(outcomes: dict[str, Outcome]) -> Table:
    """A line for each row; what is wrong stands in the verdict."""
    made = Table(box=box.MARKDOWN)
    for title in ("topology", "time", "bytes", *TITLES, "verdict"):
        made.add_column(title, justify="right" if title in {"time", "bytes"} else "left")
    for name, outcome in outcomes.items():
        ran = bool(outcome.took_s)
        cells = ["yes" if ran and not getattr(outcome, column) else "NO" for column in COLUMNS]
        verdict = (
            "NO: " + " ".join("; ".join(outcome.wrong[:3]).split()) if outcome.wrong else "yes"
        )
        made.add_row(name, f"{outcome.took_s:.1f} s", f"{outcome.size_bytes:,}", *cells, verdict)
    return made


def main() -> None:
    """Entry point of the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--qdrant", default="auto", choices=["auto", "real", "standin"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if unknown := set(given.rows) - set(ROWS):
        parser.error(f"no such rows: {sorted(unknown)}")
    kind, outcomes = choose_qdrant(given.qdrant), {}
    asked, progress = given.rows or list(ROWS), Console(stderr=True)
    with suppress(KeyboardInterrupt), asyncio.Runner() as runner:
        for name in asked:
            outcomes[name] = run_row(name, kind, runner)
            progress.print(f"{name}: {'; '.join(outcomes[name].wrong) or 'yes'}", highlight=False)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(f"Qdrant: {real_binary() if kind == 'real' else 'the stand-in (devcluster)'}")
    console.print(table(outcomes))
    if given.json:
        told = {name: asdict(outcome) for name, outcome in outcomes.items()}
        given.json.write_text(json.dumps({"qdrant": kind, "rows": told}, indent=2))
    sys.exit(len(outcomes) < len(asked) or any(one.wrong for one in outcomes.values()))


if __name__ == "__main__":
    main()
