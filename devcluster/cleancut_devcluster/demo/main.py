"""The whole thing on one machine: back up under load, lose everything, restore, compare.

`python -m cleancut_devcluster.demo.main`; `cleancut demo` runs it. Exit code 0 only if all is
equal.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console

from cleancut.core.primitives.errors import CleancutError
from cleancut.runtime.concurrency import until_signal
from cleancut_devcluster.demo.data import Shape
from cleancut_devcluster.demo.leave_running import how_to_go_on, leave_running
from cleancut_devcluster.demo.report import Figures, as_json, print_tables
from cleancut_devcluster.demo.run import Demo, Options
from cleancut_devcluster.launch.setup import Setup, launch_setup

DIFFERENT = 1
INTERRUPTED = 130
NEXT = """\
Next: `make demo ARGS=--keep` leaves it running, with a schedule, the status page and commands.
      docs/concepts.md explains what you saw; docs/tutorials lead to a cluster of your own."""
WIDE = 110
"""Columns where no terminal says how many there are."""


class DemoRun:
    """One run of the demo, and how it ended."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.talk = Console(stderr=True)
        self.figures: Figures | None = None

    async def work(self) -> None:
        """The set-up is gone when this returns. Raises: the error of any step."""
        began_s = time.monotonic()
        self.talk.print("Starting etcd, peers, agents and coordinators", highlight=False)
        async with (
            launch_setup(
                peers=self.options.peers,
                qdrant=self.options.qdrant,
                base_dir=self.options.base_dir,
            ) as setup,
            self._saying_the_end(setup),
        ):
            demo = Demo(setup, self.options, self.talk, began_s)
            await demo.run()
            demo.figures.took_s = round(time.monotonic() - began_s, 1)
            demo.figures.judge()
            self.figures = demo.figures
            self.report(demo.figures)
            if self.options.keep:
                pages = await leave_running(setup)
                said = how_to_go_on(setup, pages)
                self.talk.print(said, highlight=False, markup=False, soft_wrap=True)
                await asyncio.Event().wait()
            self.talk.print(NEXT, highlight=False, markup=False, soft_wrap=True)

    @asynccontextmanager
    async def _saying_the_end(self, setup: Setup) -> AsyncIterator[None]:
        """Ctrl-C is answered at once, though it takes some seconds until all processes ended."""
        try:
            yield
        except asyncio.CancelledError:
            kept = f"; {setup.base_dir} stays" if self.options.base_dir else ", deleting its data"
            self.talk.print(f"Stopping all processes{kept}", highlight=False, markup=False)
            raise

    def report(self, figures: Figures) -> None:
        """The figures on stdout."""
        if self.options.output == "json":
            sys.stdout.write(as_json(figures) + "\n")
        else:
            print_tables(Console(width=None if sys.stdout.isatty() else WIDE), figures)
        sys.stdout.flush()

    def exit_code(self) -> int:
        if self.figures is None:
            return INTERRUPTED
        return DIFFERENT if self.figures.faults else 0


def parse(arguments: list[str] | None = None) -> Options:
    """The options of one command line."""
    parser = argparse.ArgumentParser(prog="cleancut demo", description=__doc__)
    add, shape = parser.add_argument, Shape()
    add("--qdrant", choices=("real", "standin", "auto"), default="auto")
    add("--keep", action="store_true", help="leave it running until Ctrl-C")
    add("-o", "--output", choices=("table", "json"), default="table")
    add("--base-dir", type=Path, help="keep logs, store and data in this new directory")
    add("--peers", type=int, default=3, help="peers before the loss")
    add("--peers-after", type=int, default=2, help="peers after it")
    add("--writers", type=int, default=4, help="writers while backup 1 runs")
    add("--points", type=int, default=shape.points)
    add("--dims", type=int, default=shape.dims)
    add("--shards", type=int, default=shape.shards)
    add("--replicas", type=int, default=shape.replicas)
    given = parser.parse_args(arguments)
    return Options(
        qdrant=given.qdrant,
        keep=given.keep,
        output=given.output,
        base_dir=given.base_dir,
        peers=given.peers,
        peers_after=given.peers_after,
        writers=given.writers,
        shape=Shape(given.points, given.dims, given.shards, given.replicas),
    )


def main() -> None:
    """Entry point of the program."""
    run = DemoRun(parse())
    try:
        asyncio.run(until_signal(run.work()))
    except CleancutError as error:
        run.talk.print(f"error: {error.message}", style="bold red", markup=False)
        if error.hint:
            run.talk.print(f"hint: {error.hint}", markup=False)
        sys.exit(error.exit_code)
    sys.exit(run.exit_code())


if __name__ == "__main__":
    main()
