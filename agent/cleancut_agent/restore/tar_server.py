"""The tars that the own Qdrant pulls in a restore: straight from the store, under URLs of one use.

A URL holds 128 random bits and works for as long as its offer is open; then it is 404 and what was
being sent under it is cut off. Only loopback is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from aiohttp import web

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import CleancutError, Corrupt, NotFound, Refused, TimedOut
from cleancut.core.primitives.ids import encode_segment
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.ports.store import Store
from cleancut.repository.packs.pack_cache import PackCache
from cleancut.repository.shards.replay import Replay, open_replay
from cleancut.repository.shards.tar_assembler import read_tar

_END_S = 10.0
Check = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Offer:
    """One tar that may be pulled. `failure`: why the store could not give it, if it could not.
    `pulled`: it was asked for at least once. `check`: raises, if it must not be put in place.
    `replay`: what it is made of, if its log is exchanged.
    """

    path: str
    task: ShardTask
    requests: set[asyncio.Task[None]] = field(default_factory=set)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    failure: CleancutError | None = None
    pulled: bool = False
    check: Check | None = None
    replay: Replay | None = None

    @property
    def size_bytes(self) -> int:
        return self.task.size_bytes if self.replay is None else self.replay.tar_bytes

    def names(self, request: web.Request) -> bool:
        """Whether the URL names this shard; decoded, since clients encode as they like."""
        named = request.match_info["collection"], request.match_info["shard"]
        return named == (self.task.collection, str(self.task.shard_id))

    async def wait_idle(self, timeout_s: float) -> None:
        """Returns when nothing is being sent. Raises: TimedOut."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.idle.wait()
        except TimeoutError as error:
            name = f"shard {self.task.shard_id} of {self.task.collection!r}"
            raise TimedOut(
                f"Qdrant was still pulling {name} after {timeout_s:.0f} s",
                "look at the peer's log and its disk",
            ) from error


NO_STORES: Mapping[str, Store] = MappingProxyType({})


class TarServer:
    """All offers of this process. `sent_bytes` grows over its life.

    Limits: 16 MiB for each pull are made ahead, and 64 MiB of packs are kept for all of them.
    """

    def __init__(self, store: Store, paths: Paths, stores: Mapping[str, Store] = NO_STORES) -> None:
        """`stores`: further ones by name, besides the main `store`."""
        self._paths, self._stores = paths, {"": store, **stores}
        self._caches = {name: PackCache(one) for name, one in self._stores.items()}
        self._offers: dict[str, Offer] = {}
        self.sent_bytes = 0

    def app(self) -> web.Application:
        """Serves `GET /tar/<random>/<collection>/<shard>`."""
        app = web.Application()
        app.router.add_get("/tar/{id}/{collection:[^/]+}/{shard}", self._serve, allow_head=False)
        return app

    @asynccontextmanager
    async def offer(self, task: ShardTask, check: Check | None = None) -> AsyncIterator[Offer]:
        """The tar of `task` can be pulled inside the block, from the offer's `path`.

        Order: `check` is awaited once a pull has begun, when Qdrant has chosen where the tar goes.
        Leaving the block ends what is being sent, and waits until it has ended.
        Raises: Corrupt, if entries that are to be replayed are missing; Refused, if the agent does
            not know the store; errors of the store.
        """
        replay = None
        if task.store not in self._stores:
            raise Refused(
                f"this agent has no [store.{task.store}] in its settings file", "add it there"
            )
        if task.replay is not None:
            paths, store = self._paths.of(task.source), self._stores[task.store]
            replay = await open_replay(store, paths, task.recipe, task.replay)
        key = secrets.token_hex(16)
        path = f"/tar/{key}/{encode_segment(task.collection)}/{task.shard_id}"
        offer = self._offers[key] = Offer(path, task, replay=replay, check=check)
        offer.idle.set()
        try:
            yield offer
        finally:
            del self._offers[key]
            for request in offer.requests:
                request.cancel()
            with contextlib.suppress(TimedOut):
                await offer.wait_idle(_END_S)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        offer = self._offers.get(request.match_info["id"])
        if offer is None or not _is_loopback(request.remote) or not offer.names(request):
            raise web.HTTPNotFound(text="no such tar\n")
        response = web.StreamResponse(headers={"Content-Type": "application/x-tar"})
        response.content_length = offer.size_bytes
        await response.prepare(request)
        try:
            async with self._sending(offer):
                await self._write(offer, lambda chunk: response.write(memoryview(chunk)))
                await response.write_eof()
        except CleancutError:
            self._cut_off(request)
        except asyncio.CancelledError:
            self._cut_off(request)
            raise
        return response

    async def send(self, path: str, write: Callable[[bytes | memoryview], Awaitable[None]]) -> None:
        """Writes the tar that is offered at `path`, without HTTP; cancelled when its offer ends.

        Raises: NotFound; errors of the store; what `write` raises.
        """
        offer = next((one for one in self._offers.values() if one.path == path), None)
        if offer is None:
            raise NotFound("no such tar")
        async with self._sending(offer):
            await self._write(offer, write)

    @asynccontextmanager
    async def _sending(self, offer: Offer) -> AsyncIterator[None]:
        """The current task sends the tar inside the block, and is cancelled with its offer."""
        sending = asyncio.current_task()
        assert sending is not None
        offer.requests.add(sending)
        offer.pulled = True
        offer.idle.clear()
        try:
            yield
        except CleancutError as error:
            offer.failure = error
            raise
        finally:
            offer.requests.discard(sending)
            if not offer.requests:
                offer.idle.set()

    async def chunks(self, offer: Offer) -> AsyncIterator[bytes]:
        """The tar of the offer, for an upload. Raises: errors of the store."""
        try:
            async with aclosing(self._tar(offer)) as chunks:
                async for chunk in chunks:
                    yield bytes(chunk)
                    self.sent_bytes += len(chunk)
        except CleancutError as error:
            offer.failure = error
            raise

    async def _write(
        self, offer: Offer, write: Callable[[bytes | memoryview], Awaitable[None]]
    ) -> None:
        if offer.check is not None:
            await offer.check()
        async with aclosing(self._tar(offer)) as chunks:
            async for chunk in chunks:
                await write(chunk)
                self.sent_bytes += len(chunk)

    async def _tar(self, offer: Offer) -> AsyncGenerator[bytes | memoryview, None]:
        """Raises: Corrupt, before more bytes are given than were promised, or at a short end."""
        paths, name = self._paths.of(offer.task.source), offer.task.store
        store, cache = self._stores[name], self._caches[name]
        tar: AsyncGenerator[bytes | memoryview, None]
        if offer.replay is not None:
            tar = offer.replay.tar(store, paths, cache)
        else:
            tar = read_tar(store, paths, offer.task.recipe, cache=cache)
        left_bytes = offer.size_bytes
        async with aclosing(tar) as chunks:
            async for chunk in chunks:
                left_bytes -= len(chunk)
                if left_bytes < 0:
                    break
                yield chunk
        if left_bytes:
            name = f"shard {offer.task.shard_id} of {offer.task.collection!r}"
            raise Corrupt(
                f"the tar of {name} has not the {offer.size_bytes} bytes that the backup says",
                "verify the backup; restore another one",
            )

    def _cut_off(self, request: web.Request) -> None:
        """A short body that ends in an error: Qdrant must not take it for the whole tar."""
        if request.transport is not None:
            request.transport.abort()


def _is_loopback(remote: str | None) -> bool:
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False
