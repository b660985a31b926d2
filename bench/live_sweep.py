"""Whether the cost of a capture grows with the shard: shards of several sizes, of each of which
the same number of bytes is changed."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.live_peer import Size, live_collection, points_of
from bench.live_ways import DIRECT, STREAM, Outcome, Rig, measured, our_way
from cleancut_devcluster.launch.qdrant import PeerProcess

SWEEP_GB = [0.1, 0.5, 1.0, 4.0]
CHANGED_BYTES = 10_000_000
GB = 1_000_000_000


@dataclass(slots=True)
class Sweep:
    """Outcomes by size in GB and way."""

    runs: dict[tuple[float, str], list[Outcome]] = field(default_factory=dict)


async def sweep_sizes(
    peer: PeerProcess, rig: Rig, sweep: Sweep, options: argparse.Namespace
) -> None:
    for gb in options.sweep_gb:
        size = Size(points_of(int(gb * GB), options.dims), options.dims)
        print(f"sweep: {gb:g} GB, {size.points:,} points", file=sys.stderr)
        async with live_collection(peer, f"sweep-{gb:g}", size) as live:
            ways = [our_way(name, live, rig) for name in (DIRECT, STREAM)]
            try:
                await live.settle()
                for way in ways:
                    await way.run()
                for number in range(options.rounds):
                    await live.update(CHANGED_BYTES // (size.dims * 4))
                    await live.settle()
                    for way in ways[number % 2 :] + ways[: number % 2]:
                        outcome = await measured(way, live, rig.server)
                        sweep.runs.setdefault((gb, way.name), []).append(outcome)
                        print(f"  {way.name}: {outcome.took_s:.2f} s", file=sys.stderr)
            finally:
                for way in ways:
                    way.place.drop()


def sweep_rows(sweep: Sweep) -> list[dict[str, Any]]:
    """Medians."""
    rows = []
    for (gb, name), its in sorted(sweep.runs.items()):
        rows.append({
            "gb": gb,
            "way": name,
            "took_s": round(median(one.took_s for one in its), 2),
            "from_qdrant_mb": round(median(one.from_qdrant_bytes for one in its) / 1e6, 1),
            "disk_mb": round(median(one.disk_bytes for one in its) / 1e6, 1),
            "stored_mb": round(median(one.stored_bytes for one in its) / 1e6, 1),
            "qdrant_cpu_s": round(median(one.qdrant_cpu_s for one in its), 2),
            "own_cpu_s": round(median(one.own_cpu_s for one in its), 2),
            "store_cpu_s": round(median(one.store_cpu_s for one in its), 2),
        })  # fmt: skip
    return rows
