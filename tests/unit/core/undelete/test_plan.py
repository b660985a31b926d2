"""Which agent reads which shard, and what prevents an undelete."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Session
from cleancut.core.protocol.requests import UndeleteRequest
from cleancut.core.undelete.plan import (
    PlannedShard,
    UndeletePlan,
    asked_of,
    check_agreed,
    check_undelete,
    shares,
    with_agents,
)

SIZES = (50, 10, 40, 30)
PLAN = UndeletePlan(
    backup=Epoch(3),
    collection="docs",
    into="docs",
    shards=tuple(
        PlannedShard(shard_id=ShardId(at), size_bytes=size) for at, size in enumerate(SIZES)
    ),
)


def sessions(**engines: str | None) -> dict[AgentName, Session]:
    return {
        AgentName(name): Session(name=AgentName(name), version="1", peer_id=PeerId(1), engine=why)
        for name, why in engines.items()
    }


def test_the_largest_shard_goes_to_the_agent_that_has_least() -> None:
    plan = with_agents(PLAN, sessions(a="", b=""))
    assert [shard.agent for shard in plan.shards] == ["a", "a", "b", "b"]
    assert (plan.notes, plan.blockers) == ((), ())


@pytest.mark.parametrize("engine", [None, "pyarrow: not installed here"])
def test_agents_without_the_engine_get_no_shard(engine: str | None) -> None:
    """Also one of an older version, which does not say."""
    plan = with_agents(PLAN, sessions(a=engine, b=""))
    assert {shard.agent for shard in plan.shards} == {"b"}
    assert plan.notes == ("agents without `cleancut[data]` read no shard: a",)
    check_undelete(plan)


def test_without_any_engine_the_extra_is_named() -> None:
    with pytest.raises(Refused, match=r"cleancut\[data\].*: a, b"):
        check_undelete(with_agents(PLAN, sessions(a=None, b=None)))


def test_a_shard_goes_to_an_agent_whose_spill_has_room_for_it() -> None:
    """An agent that unpacks more than its directory may hold has its pod evicted."""
    there = sessions(a="", b="")
    there[AgentName("a")] = replace(there[AgentName("a")], spill_max_bytes=3 * 30)
    plan = with_agents(PLAN, there)
    assert [shard.agent for shard in plan.shards] == ["b", "a", "b", "a"]
    small = {name: replace(said, spill_max_bytes=149) for name, said in there.items()}
    with pytest.raises(Refused, match="may spill the 150 bytes that shard 0 takes"):
        check_undelete(with_agents(PLAN, small))


def test_what_is_agreed_to_is_not_who_reads() -> None:
    one, other = with_agents(PLAN, sessions(a="")), with_agents(PLAN, sessions(b=""))
    check_agreed(one, other.digest)
    check_agreed(one, "")
    with pytest.raises(Refused, match="has changed"):
        check_agreed(one, "other")


@pytest.mark.parametrize(
    "other", [{"ids": (1,)}, {"filter": "{}"}, {"shard_keys": ("eu",)}, {"overwrite": True}]
)
def test_an_agreement_is_for_these_points_and_no_others(other: dict[str, Any]) -> None:
    asked = UndeleteRequest(backup=Epoch(3), collection="docs", into="docs")
    agreed = replace(PLAN, asked=asked_of(asked))
    check_agreed(replace(PLAN, asked=asked_of(replace(asked, points_per_s=5))), agreed.digest)
    with pytest.raises(Refused, match="has changed"):
        check_agreed(replace(PLAN, asked=asked_of(replace(asked, **other))), agreed.digest)


@pytest.mark.parametrize(("rate", "agents", "each"), [(0, 2, 0), (500, 2, 250), (1, 3, 1)])
def test_agents_share_the_rate(rate: int, agents: int, each: int) -> None:
    assert shares(rate, [AgentName(str(at)) for at in range(agents)]) == each
