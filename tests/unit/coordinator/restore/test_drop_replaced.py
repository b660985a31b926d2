"""Old data that a restore has replaced: nothing that is in use by now is dropped."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Callable

import pytest

from cleancut.core.primitives.errors import Refused, Unavailable
from cleancut.core.restore.report import ReplacedCollection
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import (
    ClusterInfo,
    CollectionTelemetry,
    RecoveryCounters,
    Telemetry,
)
from cleancut_coordinator.restore.drop_replaced import drop_replaced
from tests.unit.coordinator.leader.test_state import context, lead

KEPT = tuple(
    ReplacedCollection(collection=name, uuid=f"uuid-{name}", aliases=()) for name in ("a", "b")
)


class Cluster:
    """What all peers agree on; `dropped`: called after each deletion."""

    def __init__(self) -> None:
        self.uuids = {one.collection: one.uuid for one in KEPT}
        self.dropped: Callable[[], None] = lambda: None


class Peer(Qdrant):
    """A peer with aliases of its own: one that lags shows others. None: it does not answer.
    `behind`: how many answer in turn."""

    def __init__(
        self, cluster: Cluster, aliases: dict[str, str] | None, *, behind: int = 1
    ) -> None:
        super().__init__("http://127.0.0.1:1")
        self.at, self.shown = cluster, aliases
        self.starts = itertools.cycle(f"start {one}" for one in range(behind))

    async def cluster(self, timeout_s: float = 1.0) -> ClusterInfo:
        if self.shown is None:
            raise Unavailable("it is down")
        return ClusterInfo(1, {1: ""}, 1, 1, 0, True)

    async def aliases(self, timeout_s: float = 1.0) -> dict[str, str]:
        if self.shown is None:
            raise Unavailable("it is down")
        return dict(self.shown)

    async def telemetry(self, level: int = 3, timeout_s: float = 1.0) -> Telemetry:
        collections = {
            name: CollectionTelemetry(uuid=uuid, config={}, shards={})
            for name, uuid in self.at.uuids.items()
        }
        return Telemetry("1.18.3", next(self.starts), 1, collections, RecoveryCounters(0, 0, 0, 0))

    async def delete_collection(self, name: str, timeout_s: float = 1.0) -> bool:
        del self.at.uuids[name]
        self.at.dropped()
        return True


def clean(*peers: Peer) -> None:
    async def body() -> None:
        at = dataclasses.replace(context(), peers=peers)
        await drop_replaced(at, await lead(at), KEPT)

    asyncio.run(body())


def test_what_nothing_points_to_is_dropped() -> None:
    cluster = Cluster()
    clean(Peer(cluster, {"live": "c"}), Peer(cluster, None))
    assert cluster.uuids == {}


def test_nothing_is_dropped_through_a_load_balancer() -> None:
    """The look and the deletion may reach two peers, of which one lags."""
    cluster = Cluster()
    with pytest.raises(Refused, match="load balancer"):
        clean(Peer(cluster, {}, behind=2))
    assert set(cluster.uuids) == {"a", "b"}


def test_an_alias_that_only_another_peer_shows_keeps_it() -> None:
    """The first peer lags; nothing is dropped, not even what no alias points to."""
    cluster = Cluster()
    with pytest.raises(Refused, match="alias 'live' points to the old collection 'b'"):
        clean(Peer(cluster, {}), Peer(cluster, {"live": "b"}))
    assert set(cluster.uuids) == {"a", "b"}


def test_an_alias_that_is_pointed_back_meanwhile_keeps_it() -> None:
    """While the first old collection is dropped, somebody goes back to the second."""
    cluster, aliases = Cluster(), {"live": "c"}
    cluster.dropped = lambda: aliases.update(live="b")
    with pytest.raises(Refused, match="alias 'live'"):
        clean(Peer(cluster, aliases))
    assert set(cluster.uuids) == {"b"}


def test_what_takes_the_name_meanwhile_is_not_dropped() -> None:
    cluster = Cluster()
    cluster.dropped = lambda: cluster.uuids.update(b="another")
    clean(Peer(cluster, {}))
    assert cluster.uuids == {"b": "another"}
