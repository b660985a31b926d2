"""What clients feel: searches and upserts at a steady pace, from a process of its own.

Usage: python -m bench.live_clients URL COLLECTION DIMS RESULT.json
Runs until its standard input ends. Each latency counts from when the operation was due.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp
import numpy as np

from bench.live_peer import LiveCollection
from bench.live_ways import DIRECT, STREAM, Rig, our_way
from cleancut.runtime.concurrency import run_in_thread

SEARCHES_S, UPSERTS_S = 50, 20
CALL_S = 30.0
END_S = 60.0
IDLE_S = 8.0
WARM_UP_S = 3.0
IDLE = "idle"
SEARCH, UPSERT = "search", "upsert"
FIRST_POINT = 1 << 40


@dataclass(frozen=True, slots=True)
class Window:
    """A time on the system's monotonic clock. `what`: idle, or the capture that ran."""

    what: str
    start_s: float
    end_s: float


@dataclass(slots=True)
class Felt:
    """`rounds` of windows, and the operations by kind: when they were due, and their latency."""

    rounds: list[list[Window]] = field(default_factory=list)
    operations: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    failed: int = 0


async def feel(live: LiveCollection, rig: Rig, rounds: int) -> Felt:
    """Each round: idle, a full direct capture, idle, a direct one after it, idle, a stream."""
    felt = Felt()
    result = rig.work / "clients.json"
    ways = {DIRECT: our_way(DIRECT, live, rig)}
    ways[STREAM] = our_way(STREAM, live, rig)
    async with _clients(live, result):
        await asyncio.sleep(WARM_UP_S)
        for number in range(rounds):
            windows: list[Window] = []
            ways[DIRECT].parents.clear()
            for what, name in ((f"{DIRECT}, full", DIRECT), (DIRECT, DIRECT), (STREAM, STREAM)):
                start_s = time.monotonic()
                await asyncio.sleep(IDLE_S)
                middle_s = time.monotonic()
                await ways[name].run()
                windows += [
                    Window(IDLE, start_s, middle_s),
                    Window(what, middle_s, time.monotonic()),
                ]
            felt.rounds.append(windows)
            print(f"  clients: round {number + 1} of {rounds}", file=sys.stderr)
    for way in ways.values():
        way.place.drop()
    found = json.loads(result.read_text())
    felt.operations, felt.failed = found["operations"], found["failed"]
    return felt


def felt_rows(felt: Felt) -> list[dict[str, Any]]:
    """p50 and p99 of each kind by window, medians over the rounds; ratios are within a round."""
    rows = []
    for kind in (SEARCH, UPSERT):
        p50s: dict[str, list[float]] = {}
        p99s: dict[str, list[float]] = {}
        counts: dict[str, int] = {}
        for windows in felt.rounds:
            for what in dict.fromkeys(one.what for one in windows):
                took = _within(felt.operations[kind], [w for w in windows if w.what == what])
                p50s.setdefault(what, []).append(median(took) if took else 0.0)
                p99s.setdefault(what, []).append(_p99(took))
                counts[what] = counts.get(what, 0) + len(took)
        for what, values in p50s.items():
            ratios = [a / b for a, b in zip(values, p50s[IDLE], strict=True) if a and b]
            rows.append({
                "operation": kind,
                "during": what,
                "operations": counts[what],
                "p50_ms": round(median(values) * 1000, 1),
                "p99_ms": round(median(p99s[what]) * 1000, 1),
                "times_idle": round(median(ratios), 2) if ratios else None,
            })  # fmt: skip
    return rows


def _within(operations: list[tuple[float, float]], windows: list[Window]) -> list[float]:
    spans = [(one.start_s, one.end_s) for one in windows]
    return [took for due, took in operations if any(a <= due < b for a, b in spans)]


def _p99(took: list[float]) -> float:
    return quantiles(took, n=100, method="inclusive")[98] if len(took) > 1 else 0.0


@asynccontextmanager
async def _clients(live: LiveCollection, result: Path) -> AsyncIterator[None]:
    """They run for the length of the block. Raises: AssertionError, if they fail."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.live_clients", live.peer.url, live.name),
        *(str(live.size.dims), str(result)),
        stdin=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )
    assert process.stdin
    try:
        yield
        process.stdin.close()
        async with asyncio.timeout(END_S):
            code = await process.wait()
        assert code == 0, f"the clients ended with {code}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class _Clients:
    """Operations of one kind each, started when they are due, whatever became of earlier ones."""

    def __init__(self, session: aiohttp.ClientSession, url: str, dims: int) -> None:
        self._session, self._url, self._dims = session, url, dims
        self._numpy = np.random.default_rng(11)
        self._written = 0
        self.operations: dict[str, list[tuple[float, float]]] = {SEARCH: [], UPSERT: []}
        self.failed = 0

    async def run(self, kind: str, rate: int, group: asyncio.TaskGroup) -> None:
        act = self._search if kind == SEARCH else self._upsert
        due_s = time.monotonic()
        while True:
            due_s += 1 / rate
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            group.create_task(self._timed(kind, partial(act), due_s))

    async def _timed(self, kind: str, act: Any, due_s: float) -> None:
        try:
            await act()
        except (aiohttp.ClientError, TimeoutError):
            self.failed += 1
        else:
            self.operations[kind].append((due_s, time.monotonic() - due_s))

    async def _search(self) -> None:
        body = {"query": self._vector(), "limit": 10}
        async with self._session.post(f"{self._url}/points/query", json=body) as answer:
            answer.raise_for_status()
            await answer.read()

    async def _upsert(self) -> None:
        self._written += 1
        point = {"id": FIRST_POINT + self._written, "vector": self._vector()}
        point["payload"] = {"tag": "client", "number": self._written}
        url = f"{self._url}/points?wait=true"
        async with self._session.put(url, json={"points": [point]}) as answer:
            answer.raise_for_status()
            await answer.read()

    def _vector(self) -> list[float]:
        vector: list[float] = self._numpy.normal(size=self._dims).astype("f4").tolist()
        return vector


async def _serve(url: str, collection: str, dims: int) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=CALL_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        clients = _Clients(session, f"{url}/collections/{collection}", dims)
        async with asyncio.TaskGroup() as group:
            paces = [
                group.create_task(clients.run(SEARCH, SEARCHES_S, group)),
                group.create_task(clients.run(UPSERT, UPSERTS_S, group)),
            ]
            await run_in_thread(sys.stdin.read)
            for pace in paces:
                pace.cancel()
    return {"operations": clients.operations, "failed": clients.failed}


def main(url: str, collection: str, dims: str, result: str) -> None:
    found = asyncio.run(_serve(url, collection, int(dims)))
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
