"""Gathers new blocks of all streams of an agent into packs, on their way to the store.

Documents (pages, recipes) go the same way, after the packs that they name. What the store cannot
take yet waits in memory, then in the spill directory; when that is full, callers wait in turn, so
all streams slow down alike. What is in blocks or documents is not decided here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from cleancut.core.format.page import PACK_BYTES, pack_header
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import Epoch, format_epoch
from cleancut.ports.store import Store
from cleancut.repository.packs.uploads import Upload, UploadLimits, Uploads

BATCH_BYTES = 2 * 1024 * 1024
ALL_BATCHES_BYTES = 6 * 1024 * 1024
BATCHES = 4
HELD_BYTES = 8 * 1024 * 1024


def share_bytes(streams: int) -> int:
    """Bytes that each of `streams` streams gathers for a batch, read in pieces half as long."""
    return max(PACK_BYTES // 64, min(BATCH_BYTES, ALL_BATCHES_BYTES // max(1, streams)))


class PackWriter:
    """Takes blocks and documents of many streams, inside its `async with` block. `gather`: a stream
    that has ended waits for the others, rather than send a pack that is not full. `may_spill`: see
    `Uploads`. `token_hex`: a random string of N bytes.

    Order: leaving the block gives up what is not stored yet, so `flush` or `wait_durable` before.
    Limits: see `UploadLimits`; one pack is open in memory besides, and each upload may hold one.
    Raises: from every method, the error that the first failed upload ended with.
    """

    def __init__(
        self,
        store: Store,
        paths: Paths,
        *,
        epoch: Epoch,
        session_id: str,
        pool: Executor,
        spill_dir: Path,
        limits: UploadLimits | None = None,
        gather: bool = True,
        may_spill: Callable[[], bool] = lambda: True,
        token_hex: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self.store = store
        self.paths = paths
        self.pool = pool
        self.origin = f"{format_epoch(epoch)}/{session_id}"
        self.document_origin = f"{self.origin}/{token_hex(16)}"
        self._token_hex = token_hex
        self._uploads = Uploads(store, pool, spill_dir, limits or UploadLimits(), may_spill)
        self._turn = asyncio.Lock()
        self._unfinished: dict[str, Upload] = {}
        self._open: tuple[str, Upload] | None = None
        self._held: list[Upload] = []
        self._buffer = bytearray()
        self._count = 0
        self.batches = asyncio.Semaphore(BATCHES)
        self._streams = 0
        self._waiting = 0
        self._gather = gather

    async def __aenter__(self) -> Self:
        await self._uploads.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._uploads.__aexit__(kind, error, trace)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Counts one stream for the length of its block."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1
            self._uploads.changed()

    @property
    def stored_bytes(self) -> int:
        """What the store has taken so far."""
        return self._uploads.stored_bytes

    @property
    def taken_bytes(self) -> int:
        """What the store has taken and is to take, so far."""
        return self._uploads.admitted_bytes + (self._open[1].size_bytes if self._open else 0)

    @property
    def crowded(self) -> bool:
        """True if there are enough streams for their batches to take turns, by `batches`."""
        return self._streams > BATCHES

    @property
    def batch_bytes(self) -> int:
        """How much a stream should gather before it hands it on: less when there are many."""
        return share_bytes(self._streams)

    @property
    def waiting_streams(self) -> int:
        """How many have been read to their end and wait to be durable."""
        return self._waiting

    async def add(self, blocks: Sequence[bytes | memoryview]) -> list[tuple[str, int]]:
        """The pack and the offset in it that each block got. May wait for room."""
        places = []
        async with self._turn:
            for block in blocks:
                if self._open and self._open[1].size_bytes + len(block) > PACK_BYTES:
                    await self._seal()
                name, pack = self._open or self._start_pack()
                places.append((name, pack.size_bytes))
                end = pack.size_bytes + len(block)
                self._buffer[pack.size_bytes : end] = block
                pack.size_bytes = end
        return places

    async def add_document(self, path: str, data: bytes, names: Iterable[str]) -> None:
        """Stores `data` at `path` after what is in `names` (packs by name, documents by path) is
        durable. May wait for room."""
        async with self._turn:
            after = tuple(u for n in names if (u := self._unfinished.get(n)) and not u.done)
            upload = Upload(path, data, len(data), after)
            await self._uploads.admit(upload)
            self._unfinished[path] = upload
            if any(a in self._held or self._is_open(a) for a in after):
                self._held.append(upload)
            else:
                self._uploads.enqueue([upload])
            if sum(u.size_bytes for u in self._held) > HELD_BYTES:
                await self._seal()

    async def wait_durable(self, names: Iterable[str]) -> None:
        """Returns once what is in `names` is durable. A pack that is still open goes to the store
        when it is full, or when all streams wait here (any, unless it gathers)."""
        wanted = [u for n in names if (u := self._unfinished.get(n))]
        self._waiting += 1
        self._uploads.changed()
        try:
            while not all(u.done for u in wanted):
                await self._uploads.wait(
                    lambda: all(u.done for u in wanted) or self._is_awaited(wanted)
                )
                if self._is_awaited(wanted):
                    async with self._turn:
                        await self._seal()
        finally:
            self._waiting -= 1

    def is_durable(self, name: str) -> bool:
        """Whether what was added under `name` is in the store."""
        upload = self._unfinished.get(name)
        return upload is None or upload.done

    async def flush(self) -> None:
        """Makes all that was added so far durable."""
        async with self._turn:
            await self._seal()
            wanted = list(self._unfinished.values())
        await self._uploads.wait(lambda: all(u.done for u in wanted))

    def _is_awaited(self, wanted: Sequence[Upload]) -> bool:
        """Whether the open pack keeps them from being durable, and nothing else will fill it."""
        if self._open is None:
            return False
        if self._gather:
            return self._waiting >= self._streams
        return any(u in self._held or self._is_open(u) for u in wanted)

    def _is_open(self, upload: Upload) -> bool:
        return self._open is not None and self._open[1] is upload

    def _start_pack(self) -> tuple[str, Upload]:
        self._unfinished = {n: u for n, u in self._unfinished.items() if not u.done}
        name = f"{self.origin}/{self._count:012d}"
        self._count += 1
        header = pack_header(bytes.fromhex(self._token_hex(32)))
        upload = Upload(self.paths.pack(name), b"", len(header))
        self._buffer[: len(header)] = header
        self._unfinished[name] = upload
        self._open = (name, upload)
        return self._open

    async def _seal(self) -> None:
        """Sends the open pack on its way, and the documents that waited for it after it."""
        if not self._open:
            return
        pack = self._open[1]
        pack.data = memoryview(self._buffer)[: pack.size_bytes]
        await self._uploads.admit(pack)
        held, self._held, self._open = self._held, [], None
        self._uploads.enqueue([pack, *held])
