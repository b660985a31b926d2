"""A table top for the backup's machines: one coordinator, a few agents, every order of events.

What is persisted lies open; each process has a queue; a move lets one process handle one event.
No time passes but by moves, no chance is involved: `every_history` walks all of them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.participant import (
    BackupParticipant,
    Capture,
    Confirm,
    FinishCapture,
    Load,
    LogEnds,
    ReadJournal,
    ReadLogs,
    SeedShards,
    StandstillEnds,
)
from cleancut.core.backup.phases import (
    Assign,
    Assigned,
    Compare,
    DrainWrites,
    Publish,
    Raise,
    Stage,
)
from cleancut.core.backup.seed import SeedMachine
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import (
    AgentName,
    Epoch,
    FencingToken,
    OperationId,
    PeerId,
    ShardId,
)
from cleancut.core.protocol.commands import (
    CastVote,
    Command,
    Decide,
    Effect,
    Lift,
    Persist,
    Run,
    Stop,
)
from cleancut.core.protocol.effect_requests import (
    Drain,
    Drained,
    Observe,
    Observed,
    Probe,
    Readings,
    ReadNumbers,
)
from cleancut.core.protocol.etcd_records import (
    Bounds,
    Ctl,
    EpochMember,
    Failure,
    Operation,
    Seeded,
    Session,
    ShardTask,
    Vote,
    WalEnd,
)
from cleancut.core.protocol.events import (
    Done,
    Event,
    Failed,
    Seen,
    SessionMoved,
    Started,
    TakenOver,
    Tick,
    Voted,
)
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.high_water import ReadMarks, StoreMarks
from cleancut.core.protocol.requests import BackupRequest, SeedRequest
from cleancut.core.protocol.states import OperationKind, Phase, State
from tests.support.groups import SOUND

EPOCH, OPERATION = Epoch(1), OperationId("op")
COORDINATOR = AgentName("")


@dataclass
class Table:
    """One position: what is persisted, what each process is and has still to handle."""

    agents: tuple[AgentName, ...]
    ctl: Ctl = field(default_factory=Ctl)
    operation: Operation | None = None
    members: dict[AgentName, EpochMember] = field(default_factory=dict)
    votes: dict[tuple[str, AgentName], Vote] = field(default_factory=dict)
    group: str = ""
    published: bool = False
    journal: dict[AgentName, str] = field(default_factory=dict)
    tokens: dict[AgentName, FencingToken] = field(default_factory=dict)
    seen_ctl: dict[AgentName, Ctl] = field(default_factory=dict)
    barrier: Barrier = field(default_factory=lambda: Barrier(Bounds()))
    cuts: dict[AgentName, BackupParticipant] = field(default_factory=dict)
    queues: dict[AgentName, list[Event]] = field(default_factory=dict)
    crashes_left: int = 0
    fence: Fence | None = None
    fence_key: Fence | None = None
    raised: bool = False
    seed: bool = False
    optimizing: int = 0
    writes: int = -1
    """Rounds in which every log grows; -1: logs are not followed, and nothing is written."""
    written: int = 10**9
    """The last round in which logs grow, once a fence is raised."""
    late: int = 1
    """In how many rounds writes arrive that a fence has let in."""
    round_s: float = 0.0
    """How long it takes to read the logs of one agent."""
    rolled: dict[AgentName, StandstillEnds | None] = field(default_factory=dict)
    applied: int = 0
    """The second number of each shard; 0: such as shows writes, if there are any."""
    staged: Stage | None = None
    now_s: float = 0.0
    said: list[str] = field(default_factory=list)

    def start(self) -> None:
        """All agents are there, and an operation gets its turn."""
        for number, name in enumerate(self.agents, 1):
            self.tokens[name] = FencingToken(number)
            self.cuts[name] = BackupParticipant(FencingToken(number))
            self.queues[name] = []
            self.seen_ctl[name] = Ctl()
        self.barrier = self.machine()
        request = SeedRequest(attempts=2) if self.seed else BackupRequest(attempts=2)
        operation = Operation(
            id=OPERATION,
            kind=OperationKind.SEED if self.seed else OperationKind.BACKUP,
            state=State.PENDING,
            request=encode(request).decode(),
        )
        self.operation = operation
        sessions = {
            name: (self.tokens[name], Session(name=name, version="1")) for name in self.agents
        }
        self.queues[COORDINATOR] = [Started(operation, EPOCH, "nonce", sessions)]

    def machine(self) -> Barrier:
        return SeedMachine(Bounds()) if self.seed else Barrier(Bounds())

    # Moves

    def moves(self) -> list[AgentName]:
        """Who may go next. Only when nobody else can, the coordinator's bound is over."""
        able = [name for name, queue in self.queues.items() if queue or self._would_look(name)]
        if not able and self.barrier.ctl.phase not in (Phase.IDLE, Phase.ABORT):
            return [COORDINATOR]
        return able

    def _would_look(self, name: AgentName) -> bool:
        if not name or self.cuts[name].ctl.phase is not Phase.PREPARE:
            return False
        return bool(copy.copy(self.cuts[name]).step(Tick(), self.now_s + 1.0))

    def fork(self) -> Table:
        """A copy that goes its own way; records are immutable, so only holders are copied."""
        twin = copy.copy(self)
        for holder in ("members", "votes", "journal", "tokens", "seen_ctl", "said", "rolled"):
            setattr(twin, holder, copy.copy(getattr(self, holder)))
        twin.queues = {name: list(queue) for name, queue in self.queues.items()}
        twin.cuts = {name: copy.copy(cut) for name, cut in self.cuts.items()}
        twin.barrier = copy.copy(self.barrier)
        twin.barrier.votes = dict(self.barrier.votes)
        twin.barrier.members = dict(self.barrier.members)
        return twin

    def handle(self, name: AgentName) -> list[Command]:
        queue = self.queues[name]
        event = queue.pop(0) if queue else Tick()
        if isinstance(event, Tick):
            self.now_s += 1.0 if name else 1000.0
        if not name:
            return self.barrier.step(event, self.now_s)
        if isinstance(event, Seen):
            self.seen_ctl[name] = event.ctl
        return self.cuts[name].step(event, self.now_s)

    def move(self, name: AgentName, dies_after: int = -1) -> int:
        """Lets `name` handle one event, and die after so many commands (-1: it lives). Returns how
        many commands there were; what follows a refused one is not done."""
        commands = self.handle(name)
        for number, command in enumerate(commands):
            if number == dies_after or not self.carry_out(name, command):
                break
        if dies_after >= 0:
            self.crashes_left -= 1
            self.revive(name)
        return len(commands)

    def revive(self, name: AgentName) -> None:
        """A fresh machine, with nothing but what was persisted."""
        self.said.append(f"{name or 'coordinator'} starts anew")
        if not name:
            self.barrier = self.machine()
            took = TakenOver(
                self.ctl, self.operation, dict(self.members), dict(self.votes), self.fence_key
            )
            self.queues[name] = [took]
            return
        self.tokens[name] = FencingToken(self.tokens[name] + 100)
        self.cuts[name] = BackupParticipant(self.tokens[name])
        self.seen_ctl[name] = Ctl()
        self.queues[name] = [Seen(self.ctl, self.members.get(name))]
        self.queues[COORDINATOR].append(SessionMoved(name, self.tokens[name]))

    # Carrying out

    def carry_out(self, name: AgentName, command: Command) -> bool:
        match command:
            case Persist():
                self.persist(command)
            case Decide():
                return self.decide(command)
            case CastVote():
                self.cast(name, command)
            case Run(effect=Confirm()) if not self.raised:
                gone = Failure(reason="UNAVAILABLE", message="no fence")
                self.queues[name].append(Failed(command.effect, gone))
            case Run():
                self.queues[name].append(Done(command.effect, self.answer(name, command.effect)))
            case Lift():
                assert command.fence == self.fence, "another fence was lifted"
                self.raised, self.fence_key = False, None
            case Stop():
                self.queues[name] = [
                    event
                    for event in self.queues[name]
                    if not (isinstance(event, Done) and event.effect.epoch == command.epoch)
                ]
        return True

    def persist(self, command: Persist) -> None:
        self.members.update(command.members)
        if command.operation is not None:
            self.operation = command.operation
        if command.fence is not None:
            self.fence_key = command.fence
        if command.ctl is not None:
            self.write_ctl(command.ctl)

    def write_ctl(self, ctl: Ctl) -> None:
        self.said.append(f"{self.ctl.phase} to {ctl.phase}")
        self.ctl = ctl
        for agent in self.agents:
            self.queues[agent].append(Seen(ctl, self.members.get(agent)))

    def decide(self, command: Decide) -> bool:
        there = {n: v for (phase, n), v in self.votes.items() if phase == command.phase}
        counted = {n: self.barrier.votes[command.phase, n] for n in command.voters}
        if there != counted or not all(vote.yes for vote in there.values()):
            self.revive(COORDINATOR)
            return False
        assert not self.group, "decided twice"
        self.group = command.ctl.manifest
        self.write_ctl(command.ctl)
        return True

    def cast(self, name: AgentName, command: CastVote) -> None:
        """Guarded by the session and by the very ctl that the agent answers."""
        if command.vote.session != self.tokens[name] or self.seen_ctl[name] != self.ctl:
            return
        self.votes[command.phase, name] = command.vote
        self.queues[COORDINATOR].append(Voted(name, self.ctl.epoch, command.phase, command.vote))

    def answer(self, name: AgentName, effect: Effect) -> Any:
        return self.agent_answers(name, effect) if name else self.coordinator_answers(effect)

    def agent_answers(self, name: AgentName, effect: Effect) -> Any:
        match effect:
            case Observe():
                return Observed(
                    "view", f"{name}.view", "nonce", 1, self.members.get(name), 0, self.optimizing
                )
            case Load():
                return self.writes >= 0
            case ReadLogs():
                self.now_s += self.round_s
                end = 9 + min(effect.round, self.writes, self.written)
                fenced = effect.fence is not None and self.raised
                return LogEnds((WalEnd("log", end),), fenced=fenced)
            case Confirm():
                return self.fence
            case Capture():
                return Readings((5,), "start", 0, states=(SOUND,))
            case ReadNumbers():
                number = self.applied or (6 if self.writes < 0 else 9)
                return Readings((number,), "start", 0, "view", fenced=self.raised, states=(SOUND,))
            case FinishCapture():
                self.rolled[name] = effect.still
                self.journal[name] = f"document-{name}"
                return self.journal[name]
            case SeedShards():
                assert effect.tasks == self.members[name].tasks
                return Seeded(shards=len(effect.tasks), read_bytes=10, new_bytes=5, stored_bytes=2)
            case ReadJournal():
                return self.journal.get(name, "")
        raise AssertionError(f"unknown effect {effect}")

    def coordinator_answers(self, effect: Effect) -> Any:
        match effect:
            case Probe():
                return None
            case Assign():
                tasks: dict[AgentName, tuple[ShardTask, ...]] = {
                    agent: (task(number),) for number, agent in enumerate(sorted(effect.members))
                }
                return Assigned("" if self.seed else "draft", ("c",), tasks, self.fence)
            case Raise():
                assert effect.fence == self.fence_key, "raised before it was written down"
                self.raised, self.written = True, self.ctl.round + self.late
                return None
            case DrainWrites():
                assert all(self.votes["FENCE", agent].fenced for agent in self.agents)
                return None
            case Drain():
                return Drained((), "2026-01-01T00:00:00Z")
            case Compare():
                return None
            case Stage():
                self.staged = effect
                return "manifest"
            case ReadMarks():
                return StoreMarks(effect.epoch)
            case Publish():
                assert self.group == effect.manifest, "published before it was decided"
                self.published = True
                return None
        raise AssertionError(f"unknown effect {effect}")

    # Positions

    def key(self) -> str:
        """Equal for positions from which the same can happen."""
        machines = [vars(self.barrier), *(vars(self.cuts[name]) for name in self.agents)]
        clocks = {"deadline_s", "stalled_s", "phase_began_s", "observe_at_s", "_skew_ms"}
        clocks |= {"now_s", "origin_s", "began_s"}
        clocks |= {"_fence_until_s", "_fence_began_s", "_fence_ms", "_optimizing_until_s"}
        search = machines[0]["_search"]
        machines[0] = machines[0] | {"_search": (search.ends, search.still, search.moved)}
        inside = [{k: v for k, v in each.items() if k not in clocks} for each in machines]
        shown = (self.votes, self.queues, self.journal, self.tokens, self.group, self.published)
        shown += (self.raised, self.fence_key)
        ctl = (self.ctl.phase, self.ctl.epoch, self.operation, self.members, self.crashes_left)
        return re.sub(r"took_ms=[0-9]+", "", repr((inside, shown, ctl)))


def task(number: int) -> ShardTask:
    return ShardTask(collection="c", shard_id=ShardId(number), peer_id=PeerId(number))


def every_history(table: Table) -> Iterator[tuple[Table, bool]]:
    """Each position that can be reached, once, and whether nothing can happen any more in it."""
    seen = {table.key()}
    waiting = [table]
    while waiting:
        position = waiting.pop()
        moves = position.moves()
        yield position, not moves
        for following in _following(position, moves):
            if (key := following.key()) not in seen:
                seen.add(key)
                waiting.append(following)


def _following(position: Table, moves: list[AgentName]) -> Iterator[Table]:
    for name in moves:
        lived = position.fork()
        commands = lived.move(name)
        yield lived
        for dies_after in range(commands + 1 if position.crashes_left else 0):
            died = position.fork()
            died.move(name, dies_after)
            yield died
