"""Measures backups of shards from a live Qdrant: from its local disk and by its stream, against
Qdrant's own snapshots with s5cmd and restic, and its stream piped to rclone.

Usage: python -m bench.live [--rounds N] [--points N --dims N --shards N] [--check] [--clients]
    [--sweep] [--plain-store] [--json FILE]
Each state is a change, after which optimizers rest and files settle; then each way runs once, in
turning order. Ratios are taken within a round, medians are printed.
Exit code: 0; 1: a way failed, or a checked capture is not what Qdrant streams; 2: there is nothing
to measure with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.live_clients import Felt, feel, felt_rows
from bench.live_peer import LiveCollection, Size, live_collection
from bench.live_sweep import SWEEP_GB, Sweep, sweep_rows, sweep_sizes
from bench.live_table import HEAD, Runs, show_targets, table, targets
from bench.live_ways import (
    DIRECT,
    STREAM,
    OurWay,
    Outcome,
    Rig,
    Way,
    measured,
    open_way,
    our_way,
    program_ways,
)
from bench.measuring import show
from cleancut.core.capture.gate import capture_gate
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import PeerId
from cleancut.runtime.concurrency import until_signal
from cleancut_agent.capture.local_capture import LocalCapture
from cleancut_agent.wal.local_storage import LocalWalStorage
from cleancut_devcluster.launch.qdrant import PeerProcess, launch_peers, real_binary
from tests.support.s3_server import S3Server

COLLECTION = "live"
HASHERS = 2
"""As many threads as an agent has."""
ROOM = 10
"""Times the shards' size: the peer, the stores, a snapshot, and tars to compare."""
VOLUME_MB = 256


class NothingToMeasure(Exception):
    """What is needed is not there."""


@dataclass(slots=True)
class Figures:
    """`wrong`: what checked captures do not have in common with Qdrant's streams."""

    version: str = ""
    size: Size = field(default_factory=lambda: Size(0, 0))
    shard_bytes: int = 0
    runs: Runs = field(default_factory=dict)
    checked: int = 0
    wrong: list[str] = field(default_factory=list)
    felt: Felt | None = None
    sweep: Sweep | None = None


async def _nothing(_live: LiveCollection) -> None:
    """The first backup of a chain."""


STATES: dict[str, Callable[[LiveCollection], Awaitable[None]]] = {
    "full": _nothing,
    "unchanged, moved": lambda live: live.move(),
    "0.1 % updates": lambda live: live.update(len(live.ids) // 1000),
    "1 % updates": lambda live: live.update(len(live.ids) // 100),
    "10 % updates": lambda live: live.update(len(live.ids) // 10),
    "1 % appends": lambda live: live.append(len(live.ids) // 100),
    "1 % deletes": lambda live: live.delete(len(live.ids) // 100),
    "1 % set_payload": lambda live: live.set_payload(len(live.ids) // 100),
}
"""What happens before each."""


@dataclass(slots=True)
class Bench:
    """All rounds on one collection."""

    options: argparse.Namespace
    rig: Rig
    figures: Figures

    async def warm_up(self, live: LiveCollection) -> None:
        """One stream, uncounted: connections are up, code is loaded."""
        way = our_way(STREAM, live, self.rig)
        await way.run()
        way.place.drop()

    async def states(self, live: LiveCollection) -> None:
        for number in range(self.options.rounds):
            found = [await open_way(name, live, self.rig) for name in _OURS]
            ways: list[Way] = [*found, *program_ways(live, self.rig)]
            try:
                await self._round(live, ways, number)
            finally:
                for way in ways:
                    way.place.drop()

    async def _round(self, live: LiveCollection, ways: list[Way], number: int) -> None:
        chosen = self.options.states or list(STATES)
        for turn, state in enumerate(chosen):
            await STATES[state](live)
            say(f"round {number + 1}, {state}: changed, waiting for optimizers and settled files")
            await live.settle()
            first = (number + turn) % len(ways)
            for way in ways[first:] + ways[:first]:
                outcome = await measured(way, live, self.rig.server)
                self.figures.runs.setdefault(state, {}).setdefault(way.name, []).append(outcome)
                say(f"  {way.name}: {_in_words(outcome)}")
                if self.options.check and isinstance(way, OurWay) and way.local is not None:
                    await self._check(way, state)

    async def _check(self, way: OurWay, state: str) -> None:
        wrong = await way.check(self.rig.work)
        self.figures.checked += 1
        self.figures.wrong += [f"{state}: {one}" for one in wrong]
        say(f"  compared with a stream: {'; '.join(wrong[:5]) or 'the same'}")


_OURS = (DIRECT, STREAM)


async def measure_all(options: argparse.Namespace, figures: Figures) -> None:
    """Raises: NothingToMeasure, CleancutError, AssertionError; `figures` has what was measured."""
    with _directory(options.dir) as work:
        _check_room(options, figures.size, work)
        server = S3Server(directory=work / "s3", volume_mb=VOLUME_MB)
        with ThreadPoolExecutor(HASHERS, thread_name_prefix="hash") as pool, server:
            os.environ.update(server.environment())
            rig = Rig(server, work, pool, options.plain_store)
            bench = Bench(options, rig, figures)
            async with _peer(work) as peer:
                figures.version = await _check_gate(peer, work)
                if not options.only_sweep:
                    say(f"loading {options.points:,} points of {options.dims} dimensions")
                    async with live_collection(peer, COLLECTION, figures.size) as live:
                        figures.shard_bytes = bytes_below(live.peer.storage / "collections")
                        say(f"loaded: {figures.shard_bytes / 1e6:,.0f} MB")
                        await bench.warm_up(live)
                        await bench.states(live)
                        if options.clients:
                            rounds = options.rounds
                            figures.felt = await feel(live, rig, rounds)
                if options.sweep or options.only_sweep:
                    figures.sweep = Sweep()
                    await sweep_sizes(peer, rig, figures.sweep, options)


@contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    """Removed at the end, with all that was in it."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
    made = tempfile.TemporaryDirectory(prefix="bench-live-", dir=given, ignore_cleanup_errors=True)
    with made as directory:
        yield Path(directory).resolve()


@asynccontextmanager
async def _peer(work: Path) -> AsyncIterator[PeerProcess]:
    """Raises: NothingToMeasure."""
    if real_binary() is None:
        raise NothingToMeasure(
            "no Qdrant server: set QDRANT_BIN, or put qdrant on PATH (the stand-in has no disk)"
        )
    async with launch_peers(1, work / "peers", "real") as peers:
        yield peers[0]


async def _check_gate(peer: PeerProcess, work: Path) -> str:
    """The version of the peer. Raises: NothingToMeasure, if its disk proves nothing."""
    async with peer.client() as qdrant:
        version = await qdrant.version()
        peer_id = PeerId((await qdrant.cluster()).peer_id)
    (peer.storage / "collections").mkdir(exist_ok=True)
    facts = LocalCapture(peer.storage, work).facts(LocalWalStorage(peer.storage).facts())
    if gate := capture_gate(facts, version, peer_id):
        raise NothingToMeasure(f"no direct capture here: {gate} (see --dir)")
    return version


def _check_room(options: argparse.Namespace, size: Size, work: Path) -> None:
    """Raises: NothingToMeasure."""
    wanted = size.vector_bytes * ROOM
    if options.sweep or options.only_sweep:
        wanted = max(wanted, int(max(options.sweep_gb) * 1e9 * ROOM / 2))
    free = shutil.disk_usage(work).free
    if free < wanted:
        raise NothingToMeasure(
            f"{work} has {free / 1e9:.1f} GB free, and this takes up to {wanted / 1e9:.1f} GB:"
            " choose --dir, or fewer --points"
        )


def bytes_below(directory: Path) -> int:
    """What its files take on the disk."""
    return sum(one.lstat().st_blocks * 512 for one in directory.rglob("*") if one.is_file())


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _in_words(outcome: Outcome) -> str:
    return (
        f"{outcome.took_s:.2f} s, from Qdrant {outcome.from_qdrant_bytes / 1e6:.1f} MB,"
        f" stored {outcome.stored_bytes / 1e6:.1f} MB, Qdrant {outcome.qdrant_cpu_s:.2f} CPU s"
    )


def report(figures: Figures, options: argparse.Namespace) -> dict[str, Any]:
    """Prints all tables; what `--json` writes."""
    size = figures.size
    print(
        f"Qdrant {figures.version}, {size.points:,} points of {size.dims} dimensions in"
        f" {size.shards} shards, {figures.shard_bytes / 1e6:,.0f} MB, {options.rounds} rounds,"
        f" {'to a directory' if options.plain_store else 'to an S3 server here'},"
        f" load {os.getloadavg()[1]:.1f}"
    )
    rows = table(figures.runs)
    if rows:
        show(rows, HEAD)
    if figures.checked:
        print(f"{figures.checked} captures compared with streams, {len(figures.wrong)} differences")
    felt = felt_rows(figures.felt) if figures.felt else []
    if figures.felt:
        show(felt, list(felt[0]))
        print(f"{figures.felt.failed} operations of clients failed")
    swept = sweep_rows(figures.sweep) if figures.sweep else []
    if swept:
        show(swept, list(swept[0]))
    wanted = targets(figures.runs, felt, swept)
    show_targets(wanted)
    raw = {
        state: {name: [asdict(one) for one in its] for name, its in by_way.items()}
        for state, by_way in figures.runs.items()
    }
    return {
        "qdrant": figures.version,
        "size": asdict(size),
        "shard_bytes": figures.shard_bytes,
        "rows": rows,
        "clients": felt,
        "sweep": swept,
        "targets": wanted,
        "checked": figures.checked,
        "wrong": figures.wrong,
        "runs": raw,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=600_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--states", type=_names, help="only these, with ; in between")
    parser.add_argument("--check", action="store_true", help="compare each direct capture")
    parser.add_argument(
        "--plain-store", action="store_true", help="our ways alone, to a directory: no server"
    )
    parser.add_argument("--clients", action="store_true", help="measure what clients feel")
    parser.add_argument("--sweep", action="store_true", help="other sizes too, at a fixed change")
    parser.add_argument("--only-sweep", action="store_true")
    parser.add_argument(
        "--sweep-gb",
        type=lambda text: [float(part) for part in text.split(",")],
        default=SWEEP_GB,
        help="sizes of the sweep (0.1,0.5,1,4)",
    )
    parser.add_argument("--dir", type=Path, help="where the peer and the store keep their data")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    if unknown := set(options.states or ()) - set(STATES):
        parser.error(f"unknown states {sorted(unknown)}; there are: {', '.join(STATES)}")
    return options


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(";")]


def main() -> int:
    options = arguments()
    figures = Figures(size=Size(options.points, options.dims, options.shards))
    ended = [130]

    async def work() -> None:
        await measure_all(options, figures)
        ended[0] = 0

    try:
        asyncio.run(until_signal(work()))
    except NothingToMeasure as error:
        print(f"nothing is measured: {error}", file=sys.stderr)
        return 2
    except (CleancutError, AssertionError) as error:
        print(f"error: {error}", file=sys.stderr)
        ended[0] = 1
    finally:
        if figures.runs or figures.sweep:
            found = report(figures, options)
            if options.json:
                options.json.write_text(json.dumps(found, indent=1))
    for line in figures.wrong:
        print(f"wrong: {line}", file=sys.stderr)
    return ended[0] or int(bool(figures.wrong))


if __name__ == "__main__":
    sys.exit(main())
