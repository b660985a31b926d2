"""Effects of the agent's restore machine, on the local peer and the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import Epoch, format_epoch
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.documents import AgentRestoreReport, RestoredShard
from cleancut.core.protocol.effect_requests import Observe, Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import ShardTask, Vote
from cleancut.core.protocol.high_water import BEHIND_HINT
from cleancut.core.protocol.states import Phase
from cleancut.core.restore.participant import HasRecovered, Recover, Verified, Verify
from cleancut.core.restore.phases import AT_ONCE
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.peer_view import readings_of
from cleancut.repository.catalog import put_votes_document
from cleancut.runtime.concurrency import run_all
from cleancut_agent.context import AgentContext
from cleancut_agent.local_peer import observe_names
from cleancut_agent.progress import BytesProgress
from cleancut_agent.prompt_store import prompt_store
from cleancut_agent.restore.recovery import Recovery
from cleancut_agent.restore.shard_checks import verify_shard
from cleancut_agent.restore.tar_server import TarServer
from cleancut_agent.wait_for_peer import retry_until_reachable

MARKS_S = 30.0
VerifyOne = Callable[[Qdrant, ShardTask], Awaitable[RestoredShard]]


class AgentRestoreEffects:
    """Runs one effect at a time. Nothing outlives its effect: cancelling one closes its URLs.
    `verify`: what one replica has to show."""

    def __init__(
        self, context: AgentContext, tars: TarServer, verify: VerifyOne = verify_shard
    ) -> None:
        self._verify_one = verify
        self._context, self._tars = context, tars
        self._recovery = Recovery(context, tars)
        self._sent_before, self._total_bytes = tars.sent_bytes, 0
        self._recovered: tuple[Epoch, int, float] | None = None  # with bytes and seconds

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Observe():
                return await observe_names(self._context, effect.epoch)
            case HasRecovered():
                return await self._has_recovered(effect.epoch)
            case Recover():
                await self._recover(effect)
                return None
            case Verify():
                return await retry_until_reachable(
                    self._context.clock, partial(self._verify, effect)
                )
            case ReadNumbers():
                return await retry_until_reachable(self._context.clock, partial(self._read, effect))
            case _:
                raise AssertionError(f"not a restore's effect: {effect}")

    async def stop(self, epoch: Epoch) -> None:
        """Nothing is left to end once the effects of `epoch` are cancelled."""

    def moved(self) -> BytesProgress:
        """Of tars, what Qdrant has pulled in this restore."""
        return BytesProgress(self._tars.sent_bytes - self._sent_before, self._total_bytes)

    async def _has_recovered(self, epoch: Epoch) -> bool:
        context = self._context
        key = context.keys.vote(epoch, Phase.RECOVER.value, context.name)
        found = await context.etcd.get(key)
        vote = context.skipped.read(Vote, key, found.value) if found is not None else None
        return vote is not None and vote.yes

    async def _recover(self, effect: Recover) -> None:
        await check_open(self._context, effect.epoch)
        clock = self._context.clock
        self._sent_before, began_s = self._tars.sent_bytes, clock.monotonic_s()
        self._total_bytes = size_bytes = sum(task.size_bytes for task in effect.tasks)
        await self._recovery.recover_all(effect.tasks, empty=effect.empty)
        self._recovered = effect.epoch, size_bytes, clock.monotonic_s() - began_s

    async def _read(self, effect: ReadNumbers) -> Readings:
        return readings_of(await self._context.qdrant.telemetry(), effect.tasks)

    async def _verify(self, effect: Verify) -> Verified:
        context = self._context
        readings: Readings = readings_of(await context.qdrant.telemetry(), effect.tasks)
        calls = [partial(self._verify_one, context.qdrant, task) for task in effect.tasks]
        found = await run_all(calls, AT_ONCE)
        epoch, size_bytes, seconds = self._recovered or (effect.epoch, 0, 0.0)
        own = epoch == effect.epoch  # else another process recovered them, before a restart
        document = AgentRestoreReport(
            epoch=effect.epoch,
            agent=context.name,
            shards=tuple(found),
            recovered_bytes=size_bytes if own else 0,
            recover_s=seconds if own else 0.0,
        )
        sha256 = await put_votes_document(context.store, context.paths, document)
        return Verified(readings, sha256)


async def check_open(context: AgentContext, epoch: Epoch) -> None:
    """Raises: Refused, if the store knows that this restore was published or is over, so that etcd
    shows a past: what is live now would be overwritten."""
    async with prompt_store("list its marks", MARKS_S):
        marks = [info.path async for info in context.store.list(context.paths.marks)]
    names = [path.removeprefix(context.paths.marks) for path in marks]
    over = {f"{format_epoch(epoch)}/{name}.json" for name in ("published", "ended")}
    if over & set(names) or max(names, default="") >= format_epoch(Epoch(epoch + 1)):
        raise Refused(
            f"the store knows that the restore of epoch {epoch} is over: etcd has gone back",
            BEHIND_HINT,
        )
