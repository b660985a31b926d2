"""Qdrant without cluster mode: its disk is known by the id that each collection tells."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from cleancut.core.protocol.etcd_records import Session
from cleancut_agent.session import describe
from cleancut_agent.wal.local_storage import LocalWalStorage
from cleancut_devcluster.launch.qdrant import Kind, launch_peers
from tests.contract.qdrant.world import SIZE
from tests.unit.agent.test_poison import Rig

BODY = {"vectors": {"size": SIZE, "distance": "Cosine"}, "shard_number": 1}


def test_the_disk_of_another_standalone_is_not_read(kind: Kind, tmp_path: Path) -> None:
    """Both have a collection of the same name, with the same number of shards."""

    async def reasons() -> list[str | None]:
        async with AsyncExitStack() as stack:
            servers = [
                (
                    await stack.enter_async_context(
                        launch_peers(1, tmp_path / name, kind, standalone=True)
                    )
                )[0]
                for name in ("mine", "other")
            ]
            mine, other = servers
            qdrant = await stack.enter_async_context(mine.client())
            elsewhere = await stack.enter_async_context(other.client())
            context = replace(Rig(tmp_path).context, qdrant=qdrant)

            async def seen(storage: Path) -> Session:
                return await describe(replace(context, wal=LocalWalStorage(storage)))

            await elsewhere.create_collection("docs", BODY)
            said = [await seen(other.storage)]
            await qdrant.create_collection("docs", BODY)
            said += [await seen(other.storage), await seen(mine.storage)]
            assert [one.problem for one in said] == [""] * 3
            return [one.wal for one in said]

    without, others, own = asyncio.run(reasons())
    assert "has no collection" in str(without)
    assert "is the storage of peer" in str(others)
    assert own == ""
