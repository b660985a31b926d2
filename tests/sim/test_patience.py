"""A peer that is away for minutes: the backup waits for it, and commits."""

from __future__ import annotations

import pytest

from cleancut.core.protocol.etcd_records import Ctl, Operation
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import OperationKind, Phase, State
from simulation.operations import HEALTHY
from simulation.scenario import Plan, Scenario

ASKED_S, AWAY_S, ATTEMPTS = 45.0, 400.0, 2
SEEDS = [
    seed
    for seed in range(1, 400, 2)
    if (plan := Plan.of(seed)).calm
    and not (plan.turned or plan.unkind or plan.archive or plan.situation or plan.seeds)
    and not (plan.rebalances or plan.schedules or plan.garbage)
][:1]


def last_asked(scenario: Scenario) -> Operation:
    return max(scenario.operations(), key=lambda one: one.created_at)


@pytest.mark.parametrize("phase", [Phase.PREPARE, Phase.CUT, Phase.IDLE])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_agent_that_is_away_for_minutes_costs_no_backup(seed: int, phase: Phase) -> None:
    """Whether it goes before the backup or while it runs, and for longer than its attempts take."""
    scenario = Scenario(seed)
    scenario.wishes.ask_for(HEALTHY, ASKED_S, BackupRequest(attempts=ATTEMPTS))
    came, gone, seen = scenario.shared.trace.struck, list[float](), list[Operation]()

    def leave() -> None:
        gone.append(scenario.world.now_s)
        scenario.agents[0].process.kill()
        scenario.world.after(AWAY_S / 2, lambda: seen.append(last_asked(scenario)))
        scenario.world.after(AWAY_S, lambda: scenario.harms.revive_agent(0))

    def struck(ctl: Ctl) -> None:
        came(ctl)
        late = scenario.world.now_s > ASKED_S and ctl.kind is OperationKind.BACKUP
        if late and ctl.phase is phase and not gone:
            leave()

    scenario.shared.trace.struck = struck
    if phase is Phase.IDLE:
        scenario.world.after(ASKED_S - 1.0, leave)
    scenario.world.planned_s = max(scenario.world.planned_s, ASKED_S + AWAY_S + 60.0)
    result = scenario.play()
    assert result.wrong == ()
    assert gone
    backup = last_asked(scenario)
    assert backup.state is State.COMMITTED
    assert backup.counted <= ATTEMPTS, "a killed agent's lease may outlast the bound of CUT, once"
    assert backup.excused >= 1
    (waiting,) = seen
    assert waiting.state is State.PENDING
    assert waiting.awaited is not None
    assert "waits for agent a1 (peer 1)" in waiting.awaited.what
