"""Starts whose answer was lost: the same call again is the same operation."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

from cleancut.api.undeletes import UndeleteOptions
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.requests import UndeleteRequest
from cleancut.core.protocol.states import OperationKind
from cleancut_coordinator.api.undeletes import UndeleteService
from cleancut_coordinator.leader import requests
from cleancut_coordinator.leadership import Leadership
from tests.support.groups import manifest, shard
from tests.unit.coordinator.api.test_corrupt_backups import PATHS, Poked, Restoring


def back_up(world: Restoring) -> None:
    """There is a newer backup now."""
    newer = manifest(4, (shard("books", 0), shard("books", 1)), operation="b-4")
    world.store.objects[PATHS.group(Epoch(4))] = encode(newer)


def test_a_restore_of_the_latest_backup_is_the_same_one() -> None:
    world = Restoring()
    first = world.start("latest")
    back_up(world)
    again = world.start("latest")
    assert (first.id, first.backup_epoch) == (again.id, 3)


def test_an_undelete_from_the_latest_backup_is_the_same_one() -> None:
    world = Restoring()
    token = asyncio.run(world.etcd_token())
    leading = cast("Leadership", SimpleNamespace(token=token, term=Poked()))
    asked = UndeleteRequest(backup=Epoch(3), collection="books", into="books")
    first = world.run(
        requests.record(
            world.context, token, OperationKind.UNDELETE, request=asked, request_id="one"
        )
    )
    back_up(world)
    options = UndeleteOptions(backup_id="latest", collection="books")
    service = UndeleteService(world.context, lambda: leading)
    again = world.run(service.start_undelete(options, request_id="one", plan_digest=""))
    assert (again.id, again.backup_epoch) == (first.id, 3)
