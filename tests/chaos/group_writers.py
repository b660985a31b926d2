"""Writers of which every operation is one atomic group of spread points, and the check that a state
of a shard holds each group wholly in one state that was possible at the cut."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

POINTS_OF_GROUP = 40
CALL_S = 120.0
LOADED = (0, None)
"""The state of a group that no writer has touched."""
State = tuple[int, int | None] | None
"""The numbers of the last upsert and of the payload set since then; None: deleted."""


def vector_of(point: int, number: int, dims: int) -> list[int]:
    """Of a point after the upsert `number`: small integers, so that they come back as they were."""
    start = point * 31 + number * 17
    return [(start + 7 * at * at) % 251 for at in range(dims)]


def payload_of(point: int, number: int) -> dict[str, Any]:
    """What an upsert writes; its length differs with the number."""
    return {
        "k": number,
        "city": f"c{(point + number) % 7}",
        "text": f"word{number} " * (number % 40),
    }


class Found(NamedTuple):
    """A point as the captured shard holds it."""

    vector: Sequence[float]
    payload: Mapping[str, Any]


@dataclass(slots=True)
class _Operation:
    after: State
    sent_s: float
    acked_s: float = float("inf")


@dataclass(slots=True)
class _Group:
    """Its log has what was sent, in order: one writer at a time, one operation at a time."""

    points: list[int]
    log: list[_Operation] = field(default_factory=list)

    @property
    def state(self) -> State:
        return self.log[-1].after if self.log else LOADED

    def possible(self, since_s: float, until_s: float) -> set[State]:
        """States at a moment between the two."""
        log = list(self.log)
        states = [LOADED, *(one.after for one in log)]
        first = sum(one.acked_s < since_s for one in log)
        last = sum(one.sent_s <= until_s for one in log)
        return set(states[first : last + 1])


class GroupWriters:
    """Threads that write at full speed while the block is open. `errors`: what was refused."""

    def __init__(
        self, port: int, collection: str, points: int, dims: int, *, groups: int, deletes: bool
    ) -> None:
        self._port, self._path, self._dims = port, f"/collections/{collection}/points", dims
        ids = random.Random(11).sample(range(points), groups * POINTS_OF_GROUP)
        self._groups = [_Group(ids[at::groups]) for at in range(groups)]
        self._kinds = ("upsert", "payload", "delete") if deletes else ("upsert", "payload")
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.errors: list[str] = []

    def __enter__(self) -> GroupWriters:
        for number in range(2):
            mine = self._groups[number::2]
            self._threads.append(threading.Thread(target=self._run, args=(mine, number)))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def operations(self) -> int:
        return sum(len(group.log) for group in self._groups)

    def faults(
        self, fetch: Callable[[list[int]], Mapping[int, Found]], since_s: float, until_s: float
    ) -> list[str]:
        """What of the groups no moment between the two explains."""
        reasons = (
            self._fault(group, fetch(group.points), group.possible(since_s, until_s))
            for group in self._groups
        )
        return [f"group {at}: {reason}" for at, reason in enumerate(reasons) if reason]

    def _fault(self, group: _Group, found: Mapping[int, Found], possible: set[State]) -> str:
        states = {_state_of(found.get(point)) for point in group.points}
        if len(states) != 1:
            return f"torn: {len(states)} states, {sorted(map(str, states))[:4]}"
        (state,) = states
        if state not in possible:
            return f"{state} is none of {sorted(map(str, possible))[:6]}"
        for point in group.points if state else ():
            assert state is not None
            if list(found[point].vector) != vector_of(point, state[0], self._dims):
                return f"point {point} has not the vector of {state[0]}"
            written = payload_of(point, state[0]).items()
            if not written <= dict(found[point].payload).items():
                return f"point {point} has not the payload of {state[0]}"
        return ""

    def _run(self, mine: list[_Group], seed: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=CALL_S)
        choice, number = random.Random(seed), 0
        try:
            while not self._stop.is_set():
                number += 1
                self._write(connection, choice.choice(mine), choice.choice(self._kinds), number)
        except (OSError, http.client.HTTPException) as error:
            self.errors.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    def _write(
        self, connection: http.client.HTTPConnection, group: _Group, kind: str, number: int
    ) -> None:
        if group.state is None or kind == "upsert":
            after: State = (number, None)
            body: dict[str, Any] = {
                "points": [
                    {
                        "id": point,
                        "vector": vector_of(point, number, self._dims),
                        "payload": payload_of(point, number),
                    }
                    for point in group.points
                ]
            }
            call = ("PUT", self._path)
        elif kind == "payload":
            after = (group.state[0], number)
            body = {"payload": {"p": number, "pad": "z" * (number % 300)}, "points": group.points}
            call = ("POST", f"{self._path}/payload")
        else:
            after, body = None, {"points": group.points}
            call = ("POST", f"{self._path}/delete")
        operation = _Operation(after, time.monotonic())
        group.log.append(operation)
        self._send(connection, call[0], f"{call[1]}?wait=true", json.dumps(body))
        operation.acked_s = time.monotonic()

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: str
    ) -> None:
        """Qdrant closes a connection that was idle; to do the same again changes nothing.

        Raises: OSError, HTTPException.
        """
        for last in (False, False, True):
            try:
                connection.request(method, path, body, {"content-type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
            except ConnectionError:
                connection.close()
                if last:
                    raise
                continue
            if response.status != 200:
                raise OSError(f"{response.status} {answer[:200]!r}")
            return


def _state_of(found: Found | None) -> State:
    return None if found is None else (found.payload.get("k", -1), found.payload.get("p"))
