"""`restore start --offline`: shards are built here, then restored by a coordinator."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cleancut.cli.exit_codes import Exit, say
from cleancut.cli.settings import Settings
from cleancut.cli.wait import Job, ask, run_job
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import ClusterName, parse_cluster

if TYPE_CHECKING:
    from cleancut.api.restores import Restore, RestoreOptions
    from cleancut.store.open import OpenedStore

T = TypeVar("T")


@dataclass(slots=True)
class OfflineStart:
    """One restore with shards that are built here. `options`: as they were given."""

    settings: Settings
    backup: str
    options: RestoreOptions
    jobs: int
    scratch: Path | None
    timeout_s: float
    request_id: str

    def run(self) -> Exit:
        """Builds a copy of the backup, restores it, and removes it once the restore is over.

        Raises: what building does; then the copy is removed, and nothing is restored.
        """
        from msgspec.structs import replace

        from cleancut.api.operations import is_over
        from cleancut.cli.offline import store_and_cluster

        self.settings.needs_both = True
        url, cluster = store_and_cluster(self.settings)
        self.settings.flags.discard("store")  # from here on a coordinator is asked
        from cleancut.data.resharding import EPOCH, copy_name

        source = parse_cluster(self.options.from_cluster or cluster)
        target = copy_name(source)
        try:
            self._with_store(url, lambda opened: self._build(opened, source, target))
        except BaseException:
            self._remove(url, target)
            raise
        options = replace(
            self.options, shards=(), offline=False, from_cluster=target, collections=()
        )
        job: Job[Restore] = Job(
            "restore",
            start=lambda client: client.start_restore(str(EPOCH), self.request_id, options, ""),
            watch=lambda client, name: client.watch_restore(name),
            timeout_s=self.timeout_s,
            request_id=self.request_id,
        )
        over = False
        try:
            code = run_job(self.settings, job)
            over = job.last is not None and is_over(job.last)
        except CleancutError:
            over = job.last is None or is_over(self._now(job.last.id))
            raise
        finally:
            if over:
                self._remove(url, target)
            else:
                say(
                    f"the restore continues; it reads the folder {target}/ of the store, which is"
                    " not used any more once it is over: delete it then"
                )
        return code

    def _now(self, name: str) -> Restore:
        return ask(self.settings, lambda client: client.get_restore(name))

    async def _build(self, opened: OpenedStore, source: ClusterName, target: ClusterName) -> None:
        from cleancut.core.format.paths import Paths
        from cleancut.core.protocol.requests import ShardNumber
        from cleancut.data.resharding import OfflineRequest, OfflineReshard, plan_offline
        from cleancut.data.shard_runner import make_scratch

        request = OfflineRequest(
            self.backup,
            self.options.collections,
            tuple(ShardNumber(of=one.of, shards=one.shards) for one in self.options.shards),
            self.jobs,
        )
        paths = Paths(source)
        plan = await plan_offline(opened.store, paths, request)
        with make_scratch(self.scratch) as made:
            run = OfflineReshard(
                opened,
                self.settings.key_source,
                paths,
                Paths(target),
                plan,
                Path(made),
                self.jobs,
                say,
            )
            await run.run()

    def _remove(self, url: str, target: ClusterName) -> None:
        """A copy that stays is reported, and does not change how the restore ended."""
        from cleancut.core.format.paths import Paths
        from cleancut.data.resharding import remove_copy

        try:
            self._with_store(url, lambda opened: remove_copy(opened.store, Paths(target)))
        except CleancutError as error:
            say(f"warning: the folder {target}/ of the store was not removed: {error.message}")

    def _with_store(self, url: str, act: Callable[[OpenedStore], Coroutine[Any, Any, T]]) -> T:
        import asyncio

        from cleancut.runtime.clock import SystemClock
        from cleancut.store.open import open_both

        async def run() -> T:
            opened = open_both(url, SystemClock(), self.settings.key_source)
            try:
                return await act(opened)
            finally:
                await opened.store.close()

        return asyncio.run(run())
