"""What a restore's plan reads of the cluster, besides Qdrant."""

from __future__ import annotations

import asyncio
import dataclasses

from cleancut import __version__
from cleancut.core.primitives.codec import encode
from cleancut.core.protocol.etcd_records import Coordinator
from cleancut.ports.coordination import Put
from cleancut_coordinator.restore.target import read_target
from tests.unit.coordinator.leader.test_state import context
from tests.unit.coordinator.restore.test_drop_replaced import Cluster, Peer


class EmptyPeer(Peer):
    async def collections(self, timeout_s: float = 1.0) -> list[str]:
        return []


def test_coordinators_of_an_older_version_are_known_where_shards_become_more() -> None:
    """They would not let a restore that waits for its reshards go on."""
    at = dataclasses.replace(context(), peers=(EmptyPeer(Cluster(), {}),))

    async def body() -> None:
        for name, version in {"a": "0.0.9", "b": __version__, "c": "", "d": "999.0"}.items():
            record = Coordinator(name=name, address="", version=version)
            await at.etcd.txn([], [Put(at.keys.coordinator(name), encode(record))])
        assert (await read_target(at, reshards=True)).older == ("coordinator a (0.0.9)",)
        assert (await read_target(at)).older == ()

    asyncio.run(body())
