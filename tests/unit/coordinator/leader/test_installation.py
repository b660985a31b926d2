"""One Qdrant cluster has one installation: it is marked, and another one is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Refused, TimedOut
from cleancut.core.protocol.etcd_records import Owner
from cleancut.ports.coordination import Put
from cleancut.qdrant.client import Qdrant
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.installation import (
    MARK,
    check_before_backup,
    check_installation,
    read_other,
    take_over,
)
from tests.unit.coordinator.leader.test_state import context, run

OWN = "5b" * 16
OTHER = {"id": "aa" * 16, "name": "staging"}


class Peer:
    """Holds metadata, as a Qdrant in cluster mode does. `puts`: what another installation puts just
    after this one."""

    url = "http://peer"

    def __init__(self, puts: object = None, *, standalone: bool = False) -> None:
        self.known: dict[str, object] = {}
        self._puts, self._standalone = puts, standalone

    async def cluster_metadata_value(self, key: str, _timeout_s: float) -> object:
        return self.known.get(key)

    async def put_cluster_metadata(self, key: str, value: object, _timeout_s: float) -> bool:
        if self._standalone:
            return False
        self.known[key] = self._puts or value
        return True


async def at(peer: Peer) -> CoordinatorContext:
    made = replace(context(), peers=(cast("Qdrant", cast("Any", peer)),))
    await made.etcd.txn([], [Put(made.keys.id, OWN.encode())])
    return made


@run
async def test_a_cluster_without_a_mark_is_marked_once() -> None:
    """And its own mark refuses nothing."""
    peer = Peer()
    here = await at(peer)
    await check_installation(here)
    assert peer.known == {MARK: {"id": OWN, "name": here.keys.cluster}}
    await check_installation(here)
    assert await read_other(here) == ""


@run
async def test_another_installation_is_refused_until_the_cluster_is_adopted() -> None:
    peer = Peer()
    peer.known[MARK] = OTHER
    here = await at(peer)
    with pytest.raises(Refused, match=r"'staging' [(]aaaaaaaa[)]"):
        await check_installation(here)
    assert peer.known == {MARK: OTHER}
    await take_over(here)
    await check_installation(here)


@run
async def test_an_earlier_life_of_the_same_installation_is_not_another_one() -> None:
    """After its etcd was lost it has another id, and the same store."""
    peer = Peer()
    peer.known[MARK] = OTHER
    here = await at(peer)
    await here.store.put(here.paths.owner(1), encode(Owner(cluster_id=OTHER["id"])))
    await check_installation(here)


@run
async def test_of_two_that_begin_at_once_only_one_goes_on() -> None:
    with pytest.raises(Refused, match="staging"):
        await check_installation(await at(Peer(puts=OTHER)))


class StoppedPeer(Peer):
    """Its consensus has stopped: it answers from what it knows, and takes no change."""

    async def put_cluster_metadata(self, key: str, value: object, _timeout_s: float) -> bool:
        raise TimedOut("no answer in time")


@run
async def test_a_backup_needs_no_consensus() -> None:
    """Neither does it go on where another installation is."""
    peer = StoppedPeer()
    here = await at(peer)
    await check_before_backup(here)
    with pytest.raises(TimedOut):
        await check_installation(here)
    peer.known[MARK] = OTHER
    with pytest.raises(Refused, match="staging"):
        await check_before_backup(here)


@run
async def test_without_cluster_mode_there_is_no_mark() -> None:
    await check_installation(await at(Peer(standalone=True)))


@run
async def test_a_mark_of_another_shape_refuses_nothing() -> None:
    """Whoever uses the key for something else is no installation."""
    peer = Peer()
    peer.known[MARK] = "mine"
    await check_installation(await at(peer))
    assert peer.known == {MARK: "mine"}
