"""The two processes of `bench.barrier`: all agents in one, the leading coordinator in the other."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.flat import ALIAS, CLUSTER, COLLECTION, Asked, CountingEtcd, FlatQdrant, view_of
from cleancut.core.backup.participant import Capture, Confirm, FinishCapture, Load
from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import AgentDocument, ShardEntry
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import decode, digest_of, encode
from cleancut.core.primitives.ids import AgentName, Digest, Epoch, FencingToken
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Observe, Observed, Readings, ReadNumbers
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import EpochMember, Operation, ShardState
from cleancut.core.protocol.fence import is_raised, without_fence
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import FINAL_STATES, OperationKind
from cleancut.etcd.client import open_etcd
from cleancut.repository.catalog import load_group, put_votes_document
from cleancut.runtime.clock import SystemClock
from cleancut.runtime.log import configure_logging
from cleancut.store.open import open_store
from cleancut_agent.context import AgentContext
from cleancut_agent.fence_watchdog import FenceWatchdog
from cleancut_agent.local_peer import read_probe
from cleancut_agent.loop import AgentEffects, AgentLoop
from cleancut_agent.metrics import AgentMetrics
from cleancut_agent.progress import BytesProgress
from cleancut_agent.session import open_session
from cleancut_coordinator.backup.effects import LeaderBackupEffects
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leader.cluster_id import establish
from cleancut_coordinator.leader.election import TTL_S, campaign
from cleancut_coordinator.leader.term import LeaderTerm
from cleancut_coordinator.metrics.registry import CoordinatorMetrics

SHARED_BY = 25
"""How many agents share a connection to etcd; each has its own lease, keys and watches."""
POLL_S = 0.05
READY_S = 120.0


@dataclass(slots=True)
class Crew:
    """What all agents share. `views`: encoded, by the aliases in them."""

    asked: Asked
    cuts: dict[str, list[float]]
    views: dict[str, tuple[View, bytes, str]]

    def view(self, aliases: Mapping[str, str]) -> tuple[View, bytes, str]:
        key = json.dumps(aliases, sort_keys=True)
        if key not in self.views:
            view = view_of(self.asked, aliases)
            data = encode(view)
            self.views[key] = view, data, hashlib.sha256(data).hexdigest()
        return self.views[key]


QUIET = ShardState(status="green", segment="s", optimizing=0)


class FlatEffects:
    """What `Cut` asks for, as the agent does it, without what only Qdrant and bytes take."""

    def __init__(self, context: AgentContext, crew: Crew, lifter: FenceWatchdog) -> None:
        self._context, self._crew, self._lifter = context, crew, lifter
        self._told = ""

    async def stop(self, epoch: Epoch) -> None:
        return None

    def moved(self) -> BytesProgress:
        return BytesProgress(0)

    async def run(self, effect: Effect) -> object:
        match effect:
            case Observe():
                return await self._observe(effect)
            case Load():
                return None
            case Confirm():
                return await self._lifter.confirm(effect.epoch)
            case Capture():
                self._crew.cuts.setdefault(str(effect.epoch), []).append(time.monotonic())
                count = len(effect.tasks)
                return Readings((1,) * count, "start", 0, states=(QUIET,) * count)
            case ReadNumbers():
                return await self._read(effect)
            case FinishCapture():
                return await self._finish(effect)
            case _:
                return ""

    async def _observe(self, effect: Observe) -> Observed:
        context = self._context
        _, data, digest = self._crew.view(await context.qdrant.aliases())
        name = f"{context.name}.{digest[:32]}"
        path = context.paths.probe(effect.epoch, name)
        if self._told != path:
            await context.store.put(path, data)
            self._told = path
        record = await context.etcd.get(context.keys.member(effect.epoch, context.name))
        member = decode(EpochMember, record.value, record.key) if record else None
        probe = await read_probe(context, effect.epoch)
        return Observed(digest, name, probe.nonce, 1 << 40, member, arrivals=0)

    async def _read(self, effect: ReadNumbers) -> Readings:
        view, _, digest = self._crew.view(await self._context.qdrant.aliases())
        numbers, states = (2,) * len(effect.tasks), (QUIET,) * len(effect.tasks)
        if effect.fence is None:
            return Readings(numbers, "start", 0, view=digest, states=states)
        plain = digest_of(without_fence(view, effect.fence))
        raised = is_raised(effect.fence, dict(view.aliases))
        return Readings(numbers, "start", 0, view=plain, fenced=raised, states=states)

    async def _finish(self, effect: FinishCapture) -> str:
        shards = tuple(
            ShardEntry(
                collection=task.collection,
                shard_id=task.shard_id,
                peer_id=task.peer_id,
                agent=self._context.name,
                recipe=Digest("0" * 64),
                tar_sha256="",
                size_bytes=0,
                new_bytes=0,
                stored_bytes=0,
                first=effect.first.at(index),
                second=effect.second.at(index),
                drained=False,
            )
            for index, task in enumerate(effect.tasks)
        )
        document = AgentDocument(epoch=effect.epoch, agent=self._context.name, shards=shards)
        return await put_votes_document(self._context.store, self._context.paths, document)


async def run_agents(asked: Asked) -> None:
    """All agents, until SIGTERM; then reports what they did."""
    crew, clock = Crew(asked, {}, {}), SystemClock()
    log = configure_logging("error", "agent")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    clients: list[CountingEtcd] = []
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        store = open_store(asked.store, clock)

        async def live(etcd: CountingEtcd, peer: int) -> None:
            name = AgentName(f"agent-{peer:04}")
            context = AgentContext(
                name=name,
                keys=Keys(CLUSTER),
                paths=Paths(CLUSTER),
                etcd=etcd,
                store=store,
                qdrant=FlatQdrant(asked, peer),
                clock=clock,
                spill_dir=Path(asked.root),
                loopback="",
            )
            metrics = AgentMetrics(CLUSTER, name)
            lifter = FenceWatchdog(context, metrics=metrics, log=log)
            effects = FlatEffects(context, crew, lifter)
            kinds: dict[OperationKind, AgentEffects] = {
                OperationKind.BACKUP: effects,
                OperationKind.RESTORE: effects,
                OperationKind.REBALANCE: effects,
            }
            async with open_session(context) as session, asyncio.TaskGroup() as own:
                follower = AgentLoop(context, session, kinds, metrics=metrics, log=log)
                own.create_task(lifter.run())
                await follower.run(own)

        tasks = []
        for peer in asked.peers:
            if (peer - 1) % SHARED_BY == 0:
                client = await stack.enter_async_context(open_etcd(asked.etcd, clock=clock))
                clients.append(CountingEtcd(client))
            tasks.append(group.create_task(live(clients[-1], peer)))
        await stopped.wait()
        for task in tasks:
            task.cancel()
    votes = sum((client.votes for client in clients), Counter[str]())
    told = {"cuts": crew.cuts, "txns": votes, "cpu_s": time.process_time()}
    (Path(asked.root) / "agents.json").write_text(json.dumps(told))


async def run_coordinator(asked: Asked) -> None:
    """Leads, makes as many backups as were asked for, one after the other, and reports each."""
    clock, log = SystemClock(), configure_logging("info", "coordinator")
    async with open_etcd(asked.etcd, clock=clock) as client:
        etcd = CountingEtcd(client)
        context = CoordinatorContext(
            name="leader",
            store_url=asked.store,
            keys=Keys(CLUSTER),
            paths=Paths(CLUSTER),
            etcd=etcd,
            store=open_store(asked.store, clock),
            peers=(FlatQdrant(asked, 1),),
            clock=clock,
        )
        async with context.etcd.lease(TTL_S) as lease, asyncio.TaskGroup() as group:
            token = await campaign(context, lease, "")
            await establish(context, token)
            await wait_agents(context, asked.agents)
            effects = {OperationKind.BACKUP: LeaderBackupEffects(context)}
            metrics = CoordinatorMetrics(CLUSTER)
            term = LeaderTerm(
                context,
                lease,
                token,
                effects=effects,  # type: ignore[arg-type]
                metrics=metrics,
                log=log,
            )
            leading = group.create_task(term.run(group))
            with (Path(asked.root) / "epochs.jsonl").open("w") as file:
                for number in range(asked.epochs):
                    began_s = time.process_time()
                    done = await one_backup(context, term, token, fence=asked.fence, number=number)
                    manifest = await load_group(context.store, context.paths, done.epoch)
                    told = {
                        "epoch": done.epoch,
                        "skew_ms": manifest.skew_ms,
                        "consistency": manifest.consistency,
                        "txns": dict(etcd.txns),
                        "cpu_s": round(time.process_time() - began_s, 3),
                    }
                    file.write(json.dumps(told) + "\n")
                    file.flush()
            leading.cancel()
            os._exit(0)  # the term's tasks end with the process, as a killed leader's do


async def wait_agents(context: CoordinatorContext, count: int) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            if len((await context.etcd.list(context.keys.sessions)).items) >= count:
                return
            await asyncio.sleep(POLL_S)


async def one_backup(
    context: CoordinatorContext, term: LeaderTerm, token: FencingToken, *, fence: bool, number: int
) -> Operation:
    """The operation once it is over, and its fence is gone. Raises: AssertionError."""
    request = BackupRequest(fence=(f"alias={ALIAS}",) if fence else (), fence_budget_s=30.0)
    operation = await requests.record(
        context, token, OperationKind.BACKUP, request=request, request_id=f"request-{number}"
    )
    context.etcd.txns.clear()  # type: ignore[attr-defined]  # the request is not part of an epoch
    term.poke()
    key = context.keys.operation(operation.id)
    while True:
        found = await context.etcd.get(key)
        assert found is not None
        told = decode(Operation, found.value, key)
        fences = (await context.etcd.list(context.keys.fences)).items
        if told.state in FINAL_STATES and not fences:
            assert told.failure is None, told.failure
            return told
        await asyncio.sleep(POLL_S)


def main(argv: list[str]) -> int:
    role, root = argv[1], Path(argv[2])
    asked = Asked(**json.loads((root / "asked.json").read_text()))
    (root / "store").mkdir(exist_ok=True)
    aliases = root / "aliases.json"
    if not aliases.exists():
        aliases.write_text(json.dumps({ALIAS: COLLECTION}))
    asyncio.run(run_agents(asked) if role == "agents" else run_coordinator(asked))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
