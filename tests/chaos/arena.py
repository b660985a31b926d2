"""A whole cluster with data that must outlive everything, in which restores are struck."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field

from qdrant_client import models

from cleancut.core.primitives.errors import TimedOut
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.states import Phase, State
from cleancut.etcd.client import Etcd, open_etcd
from cleancut.qdrant.client import Qdrant
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.setup import Setup
from tests.chaos.killer import Blow, Killer, Outside, Trace, Victim, read_ctl, traced, wait_over
from tests.e2e.case import Case, Launch, inactive, uneven
from tests.e2e.contents import Contents, add_odd, client_of, read_contents
from tests.e2e.world import World

ELDERS, ELDERS_ALIAS = "elders", "elders-live"
CLOSED = {Phase.IDLE, Phase.ABORT}
SEED = 4
"""Of all that is left to chance: which cells every run has, and how each one is struck."""
ENDS_S = 240.0
"""A restore that waits for what is back again must have ended by then."""
RUN_S = 420.0
DOWN_S = (0.5, 3.0, 8.0)


@dataclass(frozen=True, slots=True)
class Cell:
    """`phase` of a restore in which `victim` is struck; MOVE is one of a rebalance."""

    victim: Victim
    phase: Phase

    def __str__(self) -> str:
        return f"{self.victim} in {self.phase}"

    @property
    def moves(self) -> bool:
        return self.phase is Phase.MOVE


@dataclass(slots=True)
class Result:
    """How one cell ended. `hit`: the phase in which the blow really fell; None: it missed."""

    cell: Cell
    chosen: str = ""
    struck: str = ""
    hit: Phase | None = None
    state: State = State.PENDING
    took_s: float = 0.0
    failure: str = ""
    wrong: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if self.hit is None:
            return "not run: the phase was over"
        if self.wrong:
            return "WRONG: " + "; ".join(self.wrong)
        ends = ("moved", "stopped") if self.cell.moves else ("restored", "undone")
        return ends[self.state is not State.DONE]


@dataclass(slots=True)
class Arena:
    """The group in it holds what `case` says; the elders came after it was made."""

    case: Case
    outside: Outside
    elders: Contents
    broken: bool = False

    @property
    def world(self) -> World:
        return self.case.world

    @property
    def setup(self) -> Setup:
        return self.case.world.setup

    @property
    def keys(self) -> Keys:
        return Keys(ClusterName(self.setup.cluster))

    def run_cell(self, cell: Cell) -> Result:
        """The cell's result; a blow that comes too late is repeated at the phase's begin."""
        self.broken = True  # until the very end has been seen
        chosen = random.Random(f"{SEED} {cell}")
        choice, down_s = chosen.randrange(60), chosen.choice(DOWN_S)
        for late in (chosen.random() < 0.5, False, False):
            self._clear()
            self.world.run(self.setup.wait_agents())
            if cell.moves:
                self._lay_out(choice)
            result = self.world.runner.run(self._strike(cell, choice, late=late, down_s=down_s))
            result.chosen = f"{choice}, {'late' if late else 'at once'}, down {down_s} s"
            if result.hit is not None:
                break
        result.wrong += self._judge_moves(result) if cell.moves else self._judge(result.state)
        self.world.run(self.setup.wait_agents())
        self.broken = bool(result.wrong)
        return result

    def _clear(self) -> None:
        """Only the elders are left."""

        async def body() -> None:
            async with self.setup.peers[0].client() as qdrant:
                for name in await qdrant.collections():
                    if name != ELDERS:
                        await qdrant.delete_collection(name)

            async def cleared() -> bool | None:
                return True if set(await self._names()) == {ELDERS} else None

            await wait_for(cleared, "the elders to be alone", 30.0)

        self.world.run(body())

    def _lay_out(self, choice: int) -> None:
        """Everything is there, and nothing of it at the peer that `choice` would kill."""
        self.world.ok("restore", "restore", "start", self.case.made["id"], "--yes")
        empty = self.setup.peers[choice % len(self.setup.peers)]

        async def body() -> None:
            async with empty.client() as qdrant:
                own = (await qdrant.cluster()).peer_id
                for name in await qdrant.collections():
                    await move_away(qdrant, name, own)

        self.world.run(body())

    async def _names(self) -> list[str]:
        """All collections, as often as a peer lists them."""
        found = []
        for peer in self.setup.peers:
            async with peer.client() as qdrant:
                found += await qdrant.collections()
        return found

    async def _strike(self, cell: Cell, choice: int, *, late: bool, down_s: float) -> Result:
        """One restore to its end, with one blow; a late one waits for the first vote."""
        result = Result(cell)
        async with (
            asyncio.timeout(RUN_S),
            open_etcd(self.outside.members.endpoints) as etcd,
            traced(etcd, self.keys) as trace,
        ):
            killer = Killer(self.setup, etcd, self.outside, self.keys)
            blow = await killer.aim(cell.victim, choice)
            result.struck = blow.name
            async with asyncio.TaskGroup() as group:
                group.create_task(self._start(cell, trace))
                async with asyncio.timeout(ENDS_S):
                    await trace.reach(cell.phase)
                    if late and cell.moves:
                        await self._transferring(trace)
                    elif late:
                        await trace.voted(cell.phase)
                before = trace.ctl
                blow.strike()
                struck_s = time.monotonic()
                after = before if cell.victim is Victim.ETCD else await read_ctl(etcd, self.keys)
                if before.phase == after.phase == cell.phase:
                    result.hit = cell.phase
                await self._recover(etcd, trace, blow, down_s)
            done = await wait_over(etcd, self.keys, trace.ctl.operation, ENDS_S)
            result.took_s = time.monotonic() - struck_s
            result.state = done.state
            result.failure = done.failure.message if done.failure else ""
        return result

    async def _recover(self, etcd: Etcd, trace: Trace, blow: Blow, down_s: float) -> None:
        """The victim is back, after as long as the blow says."""
        if blow.until_noticed is not None:
            await blow.until_noticed()
        else:
            with suppress(TimedOut):
                await wait_over(etcd, self.keys, trace.ctl.operation, down_s)
        await blow.repair()

    async def _start(self, cell: Cell, trace: Trace) -> None:
        """The answer may be lost with who gives it; what was started is seen in etcd. Raises: what
        the command told, if nothing was."""
        made = self.case.made["id"]
        verb = ("rebalance", "start") if cell.moves else ("restore", "start", made)
        with suppress(TimedOut):
            answer = await self.setup.cleancut(*verb, "--yes", "--no-wait", timeout_s=60.0)
            if not trace.phases:
                answer.check()

    async def _transferring(self, trace: Trace) -> None:
        """Returns once a shard is on its way, or the phase is over."""

        async def seen() -> bool | None:
            async with self.setup.peers[0].client() as qdrant:
                for name in await qdrant.collections():
                    if (await qdrant.placement(name)).transfers:
                        return True
            return None if trace.ctl.phase is Phase.MOVE else False

        await wait_for(seen, "a transfer", ENDS_S)

    # The verdict

    def _judge(self, state: State) -> list[str]:
        """What is half done, gone, or left over."""
        if state is State.DONE:
            expected = {ELDERS, *self.case.names.values()}
        elif state in {State.ABORTED, State.ROLLED_BACK}:
            expected = {ELDERS}
        else:
            return [f"it ended {state}"]
        wrong = self.world.run(self._settled(expected))
        self.case.outcome = type(self.case.outcome)()
        if state is State.DONE:
            wrong += self.case.compare_reads().wrong
        if self.world.run(_elders(self.world)) != self.elders:
            wrong.append("the elders have changed")
        return wrong

    def _judge_moves(self, result: Result) -> list[str]:
        """What got lost on its way, or is still on it; if all is moved, what lies unevenly."""
        if result.state not in {State.DONE, State.ABORTED}:
            return [f"it ended {result.state}"]
        names = [ELDERS, *self.case.names.values()]
        wrong = self._judge(State.DONE)
        if result.state is State.DONE:
            wrong += self.world.run(uneven(self.world, names))
        elif not result.failure:
            wrong.append("it ended early and does not say why")
        return wrong

    async def _settled(self, expected: set[str]) -> list[str]:
        """What is wrong with names, aliases and replicas, once replicas had time to catch up."""
        last: list[str] = []

        async def right() -> bool | None:
            last[:] = await self._wrong_names(expected)
            for name in expected:
                last.extend(await inactive(self.world, name, self.case.replicas))
            return None if last else True

        try:
            await wait_for(right, "replicas to be active", 60.0)
        except TimedOut as error:
            return last or [str(error)]
        async with open_etcd(self.outside.members.endpoints) as etcd:
            fences = await etcd.list(f"{self.keys.root}fence/")
        return [f"left over: {kv.key}" for kv in fences.items]

    async def _wrong_names(self, expected: set[str]) -> list[str]:
        aliases = {ELDERS_ALIAS: ELDERS}
        if len(expected) > 1:
            aliases[self.case.alias] = "articles"
        wrong = []
        for peer in self.setup.peers:
            async with peer.client() as qdrant:
                names, found = set(await qdrant.collections()), await qdrant.aliases()
            if names != expected:
                wrong.append(f"{peer.name} has {sorted(names)}")
            if found != aliases:
                wrong.append(f"{peer.name} has aliases {found}")
        return wrong


async def move_away(qdrant: Qdrant, name: str, peer_id: int) -> None:
    """The peer holds nothing of the collection; its replicas are where there was none."""
    everyone = set((await qdrant.cluster()).peers)
    placement = await qdrant.placement(name)
    for shard in (one for one in placement.shards if one.peer_id == peer_id):
        holders = {one.peer_id for one in placement.shards if one.shard_id == shard.shard_id}
        target = min(everyone - holders)
        await qdrant.move_shard(name, shard.shard_id, source=peer_id, target=target)

    async def gone() -> bool | None:
        now = await qdrant.placement(name)
        held = any(one.peer_id == peer_id for one in now.shards)
        whole = all(one.state == "Active" for one in now.shards)
        return True if whole and not held and not now.transfers else None

    await wait_for(gone, f"{name} to be moved away", 60.0)


async def _make_elders(world: World, replicas: int) -> None:
    async with client_of(world.setup.peers[0].url) as client:
        await add_odd(client, replicas, ELDERS)
        create = models.CreateAlias(collection_name=ELDERS, alias_name=ELDERS_ALIAS)
        await client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])


async def _elders(world: World) -> Contents:
    async with client_of(world.setup.peers[0].url) as client:
        return await read_contents(client, ELDERS_ALIAS)


def open_arena(launch: Launch, outside: Outside, cluster: str) -> Arena:
    """Three peers, two coordinators; every shard has two replicas."""
    url = outside.store.url(outside.store.make_bucket(cluster))
    etcd = ",".join(outside.members.endpoints)

    def prepared(peers: int, **_: int) -> World:
        return launch(peers=peers, coordinators=2, store=url, etcd=etcd, cluster=cluster)

    case = Case.begin(prepared, 3, 2)
    case.world.run(_make_elders(case.world, 2))
    case.main = case.world.answers()
    return Arena(case, outside, case.world.run(_elders(case.world)))
