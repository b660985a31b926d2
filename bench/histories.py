"""Histories that fast writers leave behind, and whether a state is one instant of each.

A writer owns its points and sends an operation only after the one before was acknowledged, by raw
HTTP on a connection that stays open. At any instant the points of a writer are those after some
number of its operations, with at most the next one half done: it may touch several shards.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

REVISION = "revision"
_WRITER_IDS = 10_000_000
_JSON = {"Content-Type": "application/json"}
_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class Op:
    """Upserts `ids` with `revision`; None: deletes them."""

    ids: tuple[int, ...]
    revision: int | None


@dataclass(frozen=True, slots=True)
class Pace:
    """How a writer goes about it: an operation each `every_s` on average (0: at once), at random
    times as those of independent clients are; of `batch` points;
    `keep`: how many of its points it leaves, deleting the oldest; 0: all."""

    every_s: float = 0.0
    batch: int = 1
    keep: int = 0
    dims: int = 32


@dataclass(slots=True)
class History:
    """What one writer sent; `began_s` and `ended_s` are wall-clock times of each operation."""

    number: int
    ops: list[Op] = field(default_factory=list)
    began_s: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        return len(self.ended_s)

    def owns(self, point: int) -> bool:
        return point // _WRITER_IDS == self.number

    def ids_from(self, first: int, count: int) -> tuple[int, ...]:
        return tuple(self.number * _WRITER_IDS + first + at for at in range(count))

    def took_ms(self, since_s: float, until_s: float) -> list[float]:
        """How long operations took that began between two times."""
        pairs = zip(self.began_s, self.ended_s, strict=False)
        return [1000 * (end - begin) for begin, end in pairs if since_s <= begin < until_s]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of one writer in a backup: `after` operations of it; None: of no instant, and
    `wrong` points at least stand for another one. `lost`: operations that were acknowledged before
    the backup was asked for, and are not in it."""

    after: int | None
    wrong: int
    lost: int


def judge(history: History, found: Mapping[int, int], acknowledged: int) -> Verdict:
    """Looks for the instant: the revisions `found` are those after some number of operations.

    `acknowledged`: how many had been acknowledged when the backup was asked for.
    """
    mine = {point: revision for point, revision in found.items() if history.owns(point)}
    state: dict[int, int] = {}
    differ, match = set(mine), None
    nearest, least = 0, len(mine)
    for after in range(len(history.ops) + 1):
        op = history.ops[after] if after < len(history.ops) else None
        if not _unexplained(differ, op, mine):
            match = after
        if len(differ) < least:
            nearest, least = after, len(differ)
        if op is not None:
            _apply(op, state, mine, differ)
    if match is not None:
        return Verdict(match, 0, max(0, acknowledged - match))
    return Verdict(None, least, max(0, acknowledged - nearest))


def _unexplained(differ: set[int], op: Op | None, mine: Mapping[int, int]) -> bool:
    """Whether some point differs that the next operation does not make what was found."""
    if op is None or len(differ) > len(op.ids):
        return bool(differ)
    return any(one not in op.ids or mine.get(one) != op.revision for one in differ)


def _apply(op: Op, state: dict[int, int], mine: Mapping[int, int], differ: set[int]) -> None:
    for one in op.ids:
        if op.revision is None:
            state.pop(one, None)
        else:
            state[one] = op.revision
        if state.get(one) == mine.get(one):
            differ.discard(one)
        else:
            differ.add(one)


@asynccontextmanager
async def histories(
    urls: Sequence[str], collection: str, paces: Sequence[Pace], first: int
) -> AsyncIterator[list[History]]:
    """Writers number `first` on, one for each pace, in turn through `urls`, for the length of the
    block; at its end the last operations have ended."""
    made = [History(first + at) for at in range(len(paces))]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for at, (history, pace) in enumerate(zip(made, paces, strict=True)):
            url = f"{urls[at % len(urls)]}/collections/{collection}/points"
            group.create_task(_write(url, history, pace, stop))
        try:
            yield made
        finally:
            stop.set()


@dataclass(slots=True)
class _Writer:
    """Sends operations of one history to the points of a collection at `url`."""

    http: aiohttp.ClientSession
    url: str
    history: History
    vectors: Sequence[str]
    stop: asyncio.Event

    async def send(self, op: Op) -> None:
        """Until it is acknowledged; the same operation again is harmless."""
        self.history.ops.append(op)
        self.history.began_s.append(time.time())
        method, url, body = self._request(op)
        while True:
            async with self.http.request(method, f"{url}?wait=true", data=body) as answer:
                await answer.read()
                if answer.status == 200:
                    self.history.ended_s.append(time.time())
                    return
            if self.stop.is_set():
                return
            await asyncio.sleep(_AGAIN_S)

    def _request(self, op: Op) -> tuple[str, str, str]:
        if op.revision is None:
            return "POST", f"{self.url}/delete", json.dumps({"points": op.ids})
        payload = f'{{"{REVISION}": {op.revision}}}'
        points = ", ".join(
            f'{{"id": {one}, "vector": {self.vectors[one % 16]}, "payload": {payload}}}'
            for one in op.ids
        )
        return "PUT", self.url, f'{{"points": [{points}]}}'


async def _write(url: str, history: History, pace: Pace, stop: asyncio.Event) -> None:
    rng = random.Random(history.number)
    vectors = [json.dumps([round(rng.gauss(0, 1), 4) for _ in range(pace.dims)]) for _ in range(16)]
    written = removed = 0
    next_s = time.monotonic()
    async with aiohttp.ClientSession(headers=_JSON) as http:
        writer = _Writer(http, url, history, vectors, stop)
        while not stop.is_set():
            if pace.keep and written - removed > pace.keep:
                op = Op(history.ids_from(removed, pace.batch), None)
                removed += pace.batch
            else:
                op = Op(history.ids_from(written, pace.batch), len(history.ops))
                written += pace.batch
            await writer.send(op)
            if pace.every_s:
                next_s += rng.expovariate(1 / pace.every_s)
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))


def acknowledged(made: Iterable[History]) -> int:
    return sum(one.acknowledged for one in made)
