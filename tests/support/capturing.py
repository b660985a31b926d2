"""What the tests of captures share: tars as Qdrant makes them, and a writer over a fake store."""

from __future__ import annotations

import asyncio
import gzip
import random
import subprocess
from collections.abc import AsyncIterator, Callable, Container, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import ClusterName, Epoch
from cleancut.ports.store import Store
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.packs.uploads import UploadLimits
from cleancut.repository.shards.capture import CapturedShard, capture_shard
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.repository.shards.tar_assembler import read_tar
from cleancut.repository.shards.tar_scanner import KeptMember, MemberStart, TarScan

RECORDED = Path(__file__).parent.parent / "data" / "qdrant-1.18.3"
PATHS = Paths(ClusterName("prod"))
UNIT = 512
T = TypeVar("T")


def recorded(name: str, version: str = "1.18.3") -> bytes:
    """The body of a real shard stream."""
    folder = RECORDED.with_name(f"qdrant-{version}")
    return gzip.decompress((folder / f"{name}.tar.gz").read_bytes())


def member(
    path: str, data: bytes = b"", *, kind: bytes = b"0", map_units: int = 0, padding: bytes = b""
) -> bytes:
    """One member as GNU tar stores it; `map_units` of 1 and more make it a sparse
    one, with one extension header less than that."""
    name = path.encode()
    long = b""
    if len(name) > 100:
        body = name + b"\0"
        long = _header(b"././@LongLink", len(body), b"L") + _padded(body)
    kind = b"S" if map_units else kind
    head = _header(name[:100], len(data), kind, extended=map_units > 1)
    maps = b"".join(
        bytes(504) + bytes([n + 2 < map_units]) + bytes(7) for n in range(max(0, map_units - 1))
    )
    tail = padding[: -len(data) % UNIT] or bytes(-len(data) % UNIT)
    return long + head + maps + data + tail.ljust(-len(data) % UNIT, b"\0")


def _header(name: bytes, size: int, kind: bytes, *, extended: bool = False) -> bytes:
    head = bytearray(UNIT)
    head[: len(name)] = name
    head[100:108] = b"0000644\0"
    head[124:136] = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    head[156:157] = kind
    head[257:265] = b"ustar  \0"
    head[482] = extended
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % UNIT)


END = bytes(2 * UNIT)
SEGMENT = "segments/11111111-2222-4333-8444-555555555555/files/"


def tail_members() -> list[bytes]:
    return [
        member("wal", kind=b"5"),
        member("wal/closed-9", random.Random(9).randbytes(12) + bytes(4084), map_units=1),
        member("replica_state.json", b'{"is_local":true,"this_peer_id":1,"peers":{"1":"Active"}}'),
        member("shard_config.json", b'{"type":"ReplicaSet"}'),
    ]


def shard_tar(files: dict[str, bytes]) -> bytes:
    """A complete tar of a shard with one segment that holds `files`."""
    parts = [member(SEGMENT + name, data) for name, data in files.items()]
    parts.append(member(SEGMENT + "version.info", b"0.6.0"))
    return b"".join([*parts, *tail_members(), END])


async def stream(tar: bytes, sizes: Iterator[int] | None = None) -> AsyncIterator[bytes]:
    at = 0
    while at < len(tar):
        size = next(sizes) if sizes else 65536
        yield tar[at : at + size]
        at += size


async def kept_stream(tar: bytes, kept: Container[str]) -> AsyncIterator[bytes | KeptMember]:
    """The stream of `tar` by a reader that has proven that the members in `kept` did not change."""
    starts = [one for one in TarScan().feed(tar) if isinstance(one, MemberStart)]
    ends = [one.offset for one in starts[1:]] + [len(tar)]
    for start, end in zip(starts, ends, strict=True):
        if start.path and start.path in kept:
            yield KeptMember(start.path)
            continue
        async for chunk in stream(tar[start.offset : end]):
            yield chunk


def writing(
    store: Store, spill_dir: Path, body: Callable[[PackWriter], Coroutine[Any, Any, T]], **more: Any
) -> T:
    """Runs `body` with a pack writer; each call is a session of its own."""

    async def run() -> T:
        with ThreadPoolExecutor(2) as pool:
            session_id = more.pop("session_id", f"{random.getrandbits(128):032x}")
            writer = PackWriter(
                store,
                PATHS,
                epoch=Epoch(7),
                session_id=session_id,
                pool=pool,
                spill_dir=spill_dir,
                limits=more.pop("limits", UploadLimits()),
                gather=more.pop("gather", True),
                may_spill=more.pop("may_spill", lambda: True),
            )
            async with asyncio.timeout(60), writer as packs:
                return await body(packs)

    return asyncio.run(run())


def capture(
    store: Store, spill_dir: Path, tar: bytes, parent: str = "", **more: Any
) -> CapturedShard:
    """Captures `tar`, against the recipe `parent` if one is named, without a look at `kept`."""

    async def body(packs: PackWriter) -> CapturedShard:
        known = await load_recipe(store, PATHS, parent) if parent else None
        on_cut = more.get("on_cut", lambda: None)
        kept = more.get("kept")
        return await capture_shard(
            stream(tar, more.get("sizes")) if kept is None else kept_stream(tar, kept),
            parent=known,
            packs=packs,
            on_cut=on_cut,
            hashed=kept is None,
            unknown=more.get("unknown", frozenset()),
            holder=more.get("holder"),
        )

    return writing(store, spill_dir, body)


def restored(store: Store, recipe_digest: str) -> bytes:
    async def run() -> bytes:
        async with asyncio.timeout(60):
            return b"".join([chunk async for chunk in read_tar(store, PATHS, recipe_digest)])

    return asyncio.run(run())


@contextmanager
def mounted(where: Path, options: str) -> Iterator[None]:
    """A small disk of its own at `where`; the test is skipped where that is not allowed."""
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(where)], timeout=20, check=True)
