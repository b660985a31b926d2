"""Members of a shard's tar that are read from the disk, compared with those that Qdrant sends."""

from __future__ import annotations

import random

from cleancut.repository.shards.tar_scanner import MemberData, MemberStart, TarScan
from cleancut_agent.capture.direct_files import DirectFile
from cleancut_agent.capture.handles import Handles
from cleancut_agent.capture.segment_files import SegmentFiles, segments_path
from tests.contract.qdrant.world import World, points, read_stream
from tests.support.segment_dirs import later_ns, needs_proving_disk


def members(tar: bytes) -> dict[str, tuple[bytes, bytes]]:
    """Of each member its header and its stored bytes."""
    found: dict[str, tuple[bytes, bytearray]] = {}
    path = ""
    for event in TarScan().feed(tar):
        if isinstance(event, MemberStart):
            path = event.path
            found[path] = (event.header, bytearray())
        elif isinstance(event, MemberData):
            found[path][1].extend(event.piece)
    return {path: (header, bytes(data)) for path, (header, data) in found.items()}


def test_members_from_the_disk_are_those_of_the_stream(world: World) -> None:
    """Byte for byte with their headers, holes included; the selection is proven by the cut.

    The stand-in writes the time of the snapshot into its headers.
    """
    storage = world.peers[0].storage
    needs_proving_disk(storage)

    async def check() -> None:
        name = await world.create(shards=1)
        source = random.Random(1)
        for first in range(0, 6000, 150):  # over 8 MiB, so that a file of a growing segment counts
            batch = points(range(first, first + 150))
            await world.upsert(
                name, [one | {"payload": {"text": source.randbytes(2000).hex()}} for one in batch]
            )
        host = (await world.hosts(name))[0][0]
        peer = next(one for one in world.peers if one.url == host.url)
        await read_stream(host, name, 0)  # its flush writes what is still in memory
        directory = segments_path(peer.storage, name, 0)
        with (
            SegmentFiles(directory, Handles(1000)) as files,
            files.select({}, later_ns()) as selection,
        ):
            sent = members(await read_stream(host, name, 0))
            lost = selection.check()
            compared = 0
            for path, file in selection.direct.items():
                direct = DirectFile(file)
                stored = b"".join(direct.pieces())
                if not selection.finish(path):
                    header, data = sent[direct.path]
                    assert stored == data, path
                    assert direct.header == header or world.kind == "standin", path
                    compared += 1
            assert compared > 0, lost

    world.run(check())
