"""Rules about an unkind world that are broken on purpose: etcd that goes back, sick shards, a store
that loses and refuses, wrong clocks."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cleancut.core.backup import barrier
from cleancut.core.protocol import high_water as marks
from cleancut.core.protocol import live_attempt
from cleancut.core.protocol.etcd_records import Ctl, ShardState
from cleancut.core.protocol.high_water import EtcdPosition, HighWaterMark, StoreMarks, Takeover
from cleancut.core.protocol.requests import Selection
from cleancut.core.restore import restore
from cleancut.qdrant import peer_view
from cleancut.qdrant.responses import ShardTelemetry
from cleancut_agent.backup import parents
from cleancut_agent.restore import effects as restore_effects
from cleancut_coordinator.backup import effects as backup_effects
from cleancut_coordinator.leader import high_water
from cleancut_coordinator.maintenance import garbage_collector
from simulation.mutation import Mutant, Patch

_real_judge, _real_state = marks.judge_takeover, peer_view._state


def never_behind(mark: HighWaterMark | None, etcd: EtcdPosition) -> str:
    """etcd always counts as the present."""
    return ""


def always_go_on(ctl: Ctl, found: StoreMarks) -> Takeover:
    """Whatever the store knows, an attempt that is taken over goes on."""
    return Takeover.GO_ON


def forget_the_begin(ctl: Ctl, found: StoreMarks) -> Takeover:
    """What has changed the cluster is not asked for, and neither is what is in the catalog."""
    known = StoreMarks(found.newest, found.behind, published=found.published)
    return _real_judge(ctl, known)


async def opens_all(context: Any, epoch: Any) -> None:
    """A restore is open for as long as etcd shows it."""


def never_optimizing(shard: ShardTelemetry | None, known: str) -> ShardState:
    """No shard counts as under optimization."""
    return replace(_real_state(shard, known), optimizing=0, optimized_at="")


async def nothing_lost(*_: Any, **__: Any) -> Any:
    """Every pack counts as being there."""
    return frozenset()


async def any_replica(*_: Any, **__: Any) -> dict[Any, Any]:
    """The points of replicas are not looked at before one is cut."""
    return {}


def takes_all(self: Selection, name: str) -> bool:
    """The view is of all collections, whichever are asked for."""
    return True


async def trusts_clock(context: Any) -> str:
    """No clock is in doubt."""
    return ""


UNKIND_MUTANTS = {
    "undoes_the_past": Mutant(
        "an attempt that the store knows to be over is left alone",
        (
            "nothing_alive_dropped",
            "nothing_alive_overwritten",
            "old_data_stays",
            "aborted_leave_nothing",
            "operations_end",
        ),
        (
            Patch(high_water, "why_behind", never_behind),
            Patch(barrier, "judge_takeover", always_go_on),
            Patch(restore, "judge_takeover", always_go_on),
            Patch(live_attempt, "judge_takeover", always_go_on),
        ),
        {"turned": True, "restores": True},
        first=2646,
    ),
    "overwrites_the_past": Mutant(
        "agents ask the store whether a restore is over before they recover a shard",
        ("nothing_alive_overwritten",),
        (
            Patch(high_water, "why_behind", never_behind),
            Patch(restore, "judge_takeover", always_go_on),
            Patch(restore_effects, "check_open", opens_all),
        ),
        {"turned": True, "restores": True},
        first=424,
    ),
    "reports_falsely": Mutant(
        "what has changed the cluster, or is in the catalog, is not shown as aborted",
        ("undone_leaves_nothing", "aborted_leave_nothing", "operations_end"),
        (
            Patch(barrier, "judge_takeover", forget_the_begin),
            Patch(restore, "judge_takeover", forget_the_begin),
        ),
        {"turned": True, "restores": True},
        first=582,
    ),
    "blind_to_optimizations": Mutant(
        "a shard that is optimized is never proven",
        ("quiet_is_true",),
        (Patch(peer_view, "_state", never_optimizing),),
        {"unkind": "optimizing"},
    ),
    "trusts_packs": Mutant(
        "packs of earlier backups are looked for before they are named again",
        ("nothing_lost_is_named",),
        (Patch(parents, "lost_packs", nothing_lost),),
        {"unkind": "lost_pack"},
    ),
    "one_sick_stops_all": Mutant(
        "a sick collection that is left out stops no backup",
        ("healthy_is_backed_up",),
        (Patch(Selection, "takes", takes_all),),
        {"unkind": "sick"},
    ),
    "any_replica": Mutant(
        "the fullest replica is cut",
        ("fullest_is_cut",),
        (Patch(backup_effects, "read_fullness", any_replica),),
        {"unkind": "diverged"},
        first=428,
    ),
    "publishes_for_ever": Mutant(
        "a publication that cannot succeed is given up",
        ("operations_end",),
        (Patch(barrier, "PUBLISH_S", float("inf")),),
        {"unkind": "refused"},
        first=560,
    ),
    "trusts_clock": Mutant(
        "a coordinator with a wrong clock deletes nothing",
        ("wrong_clock_deletes_nothing",),
        (Patch(garbage_collector, "doubt_of_clock", trusts_clock),),
        {"unkind": "wrong_clock", "garbage": True},
    ),
}
