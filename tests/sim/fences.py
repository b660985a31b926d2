"""Fences on the simulated cluster: raised and lifted by the rules of the real programs, and what
must hold of them. The agents' lifter is the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cleancut.core.backup.phases import DrainWrites, Raise
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch, FencingToken, PeerId
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.fence import Fence, fenced_name, leftover_fences
from cleancut.core.protocol.states import FENCED, Phase
from cleancut.fencing.aliases import give_back, rename
from cleancut.ports.coordination import Created, Delete
from cleancut_agent.context import AgentContext
from cleancut_agent.fence_watchdog import FenceWatchdog
from cleancut_agent.metrics import AgentMetrics
from tests.sim.network import Shared, SimClock, SimEtcd, SimStore
from tests.sim.outcome import Outcome
from tests.sim.peer import SimPeer
from tests.sim.pulling import Pulls
from tests.sim.qdrant import SimQdrant
from tests.sim.trace import Span, Trace
from tests.sim.world import Process

BUDGET_S = 2.0
AGAIN_S = 0.5
LOOK_S = 2.0
METRICS = AgentMetrics("sim", "all")


def write_alias(collection: str) -> str:
    """What writers call it, where they are fenced."""
    return f"w-{collection}"


# Coordinators


async def carry_out(pulls: Pulls, process: Process, effect: Effect) -> None:
    """Raises a fence. Writes are queued at once here, so that none is left to settle.

    Raises: Unavailable, TimedOut.
    """
    if isinstance(effect, DrainWrites):
        return
    assert isinstance(effect, Raise), f"not a backup's effect: {effect}"
    fence = effect.fence
    actions = [
        rename(entry.alias, fenced_name(entry.alias, fence.epoch)) for entry in fence.aliases
    ]
    await _first_up(pulls, process).change_aliases(actions)


def _first_up(pulls: Pulls, process: Process) -> SimPeer:
    for peer in pulls.qdrant.peers.values():
        if peer.up:
            return SimPeer(pulls, process, peer.id)
    raise Unavailable("no peer is up")


class TermLifter:
    """What a term does about fences: at once when told, and again until it is done."""

    def __init__(self, pulls: Pulls, process: Process, etcd: SimEtcd, token: FencingToken) -> None:
        self._pulls, self._process, self._etcd, self._token = pulls, process, etcd, token
        self._keys: Keys = pulls.shared.keys
        self.lifting: set[Epoch] = set()

    async def lift(self, fence: Fence) -> None:
        """Returns once it is seen lifted, and forgotten."""
        self.lifting.add(fence.epoch)
        while True:
            try:
                for entry in fence.aliases:
                    name = fenced_name(entry.alias, fence.epoch)
                    peer = _first_up(self._pulls, self._process)
                    await give_back(peer, name, entry.alias, 5.0)  # type: ignore[arg-type]
                leads = Created(self._keys.leader, self._token)
                await self._etcd.txn([leads], [Delete(self._keys.fence(fence.epoch))])
                break
            except CleancutError:
                await self._process.sleep(AGAIN_S)
        self.lifting.discard(fence.epoch)

    async def look(self) -> None:
        """Never returns: lifts what etcd still names, unless its epoch is open and needs it."""
        while True:
            await self._process.sleep(LOOK_S)
            try:
                listing = await self._etcd.list(self._keys.fences)
                found = await self._etcd.get(self._keys.ctl) if listing.items else None
            except CleancutError:
                continue
            ctl = decode(Ctl, found.value, found.key) if found else Ctl()
            for item in listing.items:
                fence = decode(Fence, item.value, item.key)
                needed = ctl.epoch == fence.epoch and ctl.phase in FENCED
                if not needed and fence.epoch not in self.lifting:
                    await self.lift(fence)


# Agents


class Story:
    """What the lifter logs, as lines of the story."""

    def __init__(self, shared: Shared, name: str) -> None:
        self._trace, self._shared, self._name = shared.trace, shared, name

    def say(self, event: str, **facts: object) -> None:
        told = ", ".join(f"{key} {value}" for key, value in facts.items())
        self._trace.say(self._shared.world.now_s, self._name, f"{event}: {told}")

    debug = info = warning = error = say


def lifter_of(
    pulls: Pulls,
    process: Process,
    store: SimStore,
    name: AgentName,
    *,
    peer: PeerId,
    etcd: SimEtcd,
    kind: type[FenceWatchdog] = FenceWatchdog,
) -> FenceWatchdog:
    """The real one, on simulated ports."""
    shared = pulls.shared
    context = AgentContext(
        name=name,
        keys=shared.keys,
        paths=shared.paths,
        etcd=etcd,  # type: ignore[arg-type]
        store=store,
        qdrant=SimPeer(pulls, process, peer),  # type: ignore[arg-type]
        clock=SimClock(shared.world, process),
        spill_dir=Path(),
        loopback="",
    )
    return kind(context, metrics=METRICS, log=Story(shared, name))  # type: ignore[arg-type]


# What must hold


def note_fences(qdrant: SimQdrant, trace: Trace) -> None:
    """Keeps when each fence was there, as the cluster agreed on it."""
    there = {one.name for one in leftover_fences(qdrant.aliases)}
    now_s = qdrant.world.now_s
    for name in there:
        if (name, None) not in {(span.name, span.until_s) for span in trace.fences}:
            trace.fences.append(Span(name, now_s))
    for span in trace.fences:
        if span.until_s is None and span.name not in there:
            span.until_s = now_s


def fence_lifted(outcome: Outcome) -> Iterator[str]:
    """Every fence has gone in the end; where nothing else fails, within its budget and a second."""
    trace = outcome.shared.trace
    for span in trace.fences:
        if span.until_s is None:
            yield f"{span.name} stands since {span.from_s:.3f}"
        elif trace.calm and span.until_s - span.from_s > BUDGET_S + 1.0:
            yield f"{span.name} stood for {span.until_s - span.from_s:.3f} s"


def fenced_is_true(outcome: Outcome) -> Iterator[str]:
    """While shards of a group that is called fenced were cut, no client's write was let in."""
    puts = [(at_s, ctl.epoch, ctl.phase) for at_s, ctl in outcome.ctls()]
    for epoch, manifest in outcome.manifests().items():
        if manifest.grade != "fenced":
            continue
        cut_s = next(at_s for at_s, of, phase in puts if (of, phase) == (epoch, Phase.CUT))
        seal_s = next(at_s for at_s, of, phase in puts if (of, phase) == (epoch, Phase.SEAL))
        for entry in manifest.collections:
            for place in outcome.qdrant.places(entry.name):
                for kind, at_s in outcome.qdrant.logs[place]:
                    if kind == "w" and cut_s < at_s < seal_s:
                        yield f"group {epoch}: {place} took a write at {at_s:.3f}"


FENCE_CHECKERS = (fence_lifted, fenced_is_true)
