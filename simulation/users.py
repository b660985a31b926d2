"""Users: they ask whichever coordinator leads, and repeat what was not answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cleancut.core.primitives.errors import CleancutError, Fenced, LeaseLost, TimedOut, Unavailable
from cleancut.core.protocol.states import OperationKind
from simulation.network import Surroundings
from simulation.programs import SimCoordinator
from simulation.world import World

ANSWER_S = 6.0
AGAIN_S = 0.5
Call = Callable[[Any], Awaitable[Any]]
"""What is asked of the API of a coordinator."""


class HasId(Protocol):
    """What an operation is shown as."""

    @property
    def id(self) -> str: ...


@dataclass(slots=True)
class Asked:
    """One operation that a user asks for. `answered`: its id, once the leader has said it;
    `refused`: why there is none."""

    name: str
    kind: OperationKind
    answered: str = ""
    refused: str = ""

    @property
    def over(self) -> bool:
        return bool(self.answered or self.refused)


@dataclass(slots=True)
class Users:
    """All users together, and what they have asked for."""

    shared: Surroundings
    coordinators: Sequence[SimCoordinator]
    asked: list[Asked] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.shared.world

    def submit(
        self, asked: Asked, at_s: float, call: Callable[[Any, str], Awaitable[HasId]]
    ) -> None:
        """Asks for an operation then, until it is answered, always under the same request id."""
        self.asked.append(asked)

        async def work() -> None:
            await asyncio.sleep(at_s)
            try:
                shown = await self.ask(asked.name, lambda api: call(api, asked.name))
                asked.answered = shown.id
            except CleancutError as error:
                asked.refused = error.message
                self.say(f"{asked.name} refused: {error.message}")

        self.world.start(work())

    def wish(self, name: str, at_s: float, call: Call) -> None:
        """Asks for something then, once: a cancel, a deletion, a gc run."""

        async def work() -> None:
            await asyncio.sleep(at_s)
            try:
                await self.ask(name, call, tries=3)
            except CleancutError as error:
                self.say(f"{name} refused: {error.message}")

        self.world.planned_s = max(self.world.planned_s, self.world.now_s + at_s)
        self.world.start(work())

    async def ask(self, name: str, call: Call, tries: int = 1000) -> Any:
        """Raises: the refusal; Unavailable, after that many tries."""
        for _ in range(tries):
            leader = next((one for one in self.coordinators if one.leads), None)
            if leader is not None:
                self.say(f"asks {leader.process.name} for {name}")
                task = leader.process.spawn(_started(call, leader.api))
                await asyncio.wait([task], timeout=ANSWER_S)
                if not task.done():
                    task.cancel()
                elif not task.cancelled():
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, Unavailable | TimedOut | Fenced | LeaseLost):
                        raise error
            await asyncio.sleep(AGAIN_S)
        raise Unavailable(f"no leader answers {name}")

    def say(self, what: str) -> None:
        self.shared.trace.say(self.world.now_s, "user", what)


async def _started(call: Call, api: object) -> Any:
    return await call(api)
