"""Neighbouring versions of agents and coordinators understand each other.

tests/data/records-0.1.0.json holds what such programs wrote into etcd and a store, before seeds,
roles and encryption.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from cleancut.core.cluster.agent_settings import UploadSettings
from cleancut.core.format.manifest import AgentDocument, Manifest
from cleancut.core.maintenance.garbage import Hold
from cleancut.core.primitives.codec import Record, decode, encode
from cleancut.core.protocol.etcd_records import (
    Ctl,
    EpochMember,
    Group,
    Leader,
    Operation,
    Owner,
    Session,
    Vote,
)
from tests.tidy.tree import text_of

RECORDED: dict[str, Any] = json.loads(text_of("tests/data/records-0.1.0.json"))
KINDS: tuple[tuple[str, type[Record]], ...] = (
    ("sess/", Session),
    ("leader", Leader),
    ("op/", Operation),
    ("ctl", Ctl),
    ("member/", EpochMember),
    ("vote/", Vote),
    ("group/", Group),
    ("settings", UploadSettings),
    ("store/groups/", Manifest),
    ("store/holds/", Hold),
    ("store/owner/", Owner),
    ("store/votes/000000000001/", AgentDocument),
)


def kind_of(name: str) -> type[Record] | None:
    return next((kind for start, kind in KINDS if name.startswith(start)), None)


NAMES = [name for name in RECORDED if kind_of(name)]


def test_every_kind_was_recorded() -> None:
    assert {kind_of(name) for name in NAMES} == {kind for _, kind in KINDS}


@pytest.mark.parametrize("name", NAMES)
def test_what_an_older_one_wrote_is_read_whole(name: str) -> None:
    """Nothing of it is dropped: written again, it says the same."""
    kind, told = kind_of(name), RECORDED[name]
    assert kind is not None
    assert json.loads(encode(decode(kind, json.dumps(told).encode(), name))) == told


@pytest.mark.parametrize("name", NAMES)
def test_what_a_newer_one_adds_is_passed_over(name: str) -> None:
    """A field that nobody here knows, wherever it stands, changes nothing of what is known."""
    kind, told = kind_of(name), RECORDED[name]
    assert kind is not None
    data = json.dumps(_with_more(told)).encode()
    assert decode(kind, data, name) == decode(kind, json.dumps(told).encode(), name)


def _with_more(value: Any) -> Any:
    """`value` with one more field; in records inside of lists as well."""
    more = {"of_tomorrow": [1, {"x": None}], **value}
    for field in ("shards", "tasks", "collections"):
        inside = more.get(field)
        if isinstance(inside, list) and inside and isinstance(inside[0], dict):
            more[field] = [{"of_tomorrow": 1, **one} for one in inside]
    return more
