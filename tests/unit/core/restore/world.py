"""A pure world for the restore's machines: what etcd keeps, a cluster, one leader and two agents.

Every choice (which effect answers next, who dies, what fails) is the test's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import (
    AgentName,
    Epoch,
    FencingToken,
    OperationId,
    PeerId,
    ShardId,
)
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import CastVote, Command, Effect, Persist, Run, Stop
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
    Session,
    ShardTask,
    Vote,
)
from cleancut.core.protocol.events import (
    Cancelled,
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
from cleancut.core.protocol.followers import waits_for_reshards
from cleancut.core.protocol.high_water import ReadMarks, StoreMarks
from cleancut.core.protocol.participant import Participant
from cleancut.core.protocol.requests import RestoreRequest, ShardNumber
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, Phase, State
from cleancut.core.restore.participant import (
    HasRecovered,
    Recover,
    RestoreParticipant,
    Verified,
    Verify,
)
from cleancut.core.restore.phases import (
    CheckRestore,
    Create,
    MakeWay,
    MarkPublished,
    PublishRestore,
    Review,
    RollBack,
    TakeUp,
)
from cleancut.core.restore.restore import RestoreMachine

A, B = AgentName("a"), AgentName("b")
AGENTS = (A, B)
COORDINATOR = "coordinator"
BROKEN = Failure(reason="UNAVAILABLE", message="broken")


def task_of(agent: AgentName) -> ShardTask:
    number = AGENTS.index(agent)
    return ShardTask(
        collection="docs", shard_id=ShardId(number), peer_id=PeerId(number), recipe="r"
    )


@dataclass
class Agent:
    machine: Participant
    token: FencingToken
    seen: int = 0  # how many ctl revisions it has been told


@dataclass
class World:
    """`crash_after`: the leader dies after that many of its commands, once. `reshards`: so many are
    recorded with the restore; `left`: of them, those that are not over."""

    crash_after: int = -1
    reshards: int = 0
    now_s: float = 0.0
    ctl: Ctl = field(default_factory=Ctl)
    members: dict[AgentName, EpochMember] = field(default_factory=dict)
    votes: dict[tuple[str, AgentName], Vote] = field(default_factory=dict)
    history: list[tuple[Ctl, dict[AgentName, EpochMember]]] = field(default_factory=list)
    running: list[tuple[str, Effect]] = field(default_factory=list)
    made: bool = False
    published: bool = False
    recovered: set[AgentName] = field(default_factory=set)
    number: int = 5
    startups: dict[AgentName, int] = field(default_factory=lambda: dict.fromkeys(AGENTS, 0))
    writes: int = 0
    writes_at: dict[tuple[str, AgentName], int] = field(default_factory=dict)
    drains: int = 0
    commands: int = 0
    crashes: int = 0
    marked: str = ""
    ended: dict[Epoch, State] = field(default_factory=dict)
    epochs: int = 0
    without_shards: bool = False

    def __post_init__(self) -> None:
        self.left = self.reshards
        self.leader = self.new_leader()
        self.tokens = 10
        self.agents = {
            name: Agent(self.new_agent(FencingToken(index + 1)), FencingToken(index + 1))
            for index, name in enumerate(AGENTS)
        }
        self.operation = Operation(
            id=OperationId("op"),
            kind=OperationKind.RESTORE,
            state=State.PENDING,
            request=encode(self._request()).decode(),
        )

    def _request(self) -> RestoreRequest:
        shards = (ShardNumber(shards=3),) if self.reshards else ()
        return RestoreRequest(backup=Epoch(1), shards=shards)

    def new_leader(self) -> Attempt:
        return RestoreMachine(Bounds())

    def new_agent(self, session: FencingToken) -> Participant:
        return RestoreParticipant(session)

    # The leader

    def begin(self) -> None:
        """Gives the operation its turn, as the shell does when it is pending and ctl is free."""
        self.epochs += 1
        sessions = {
            name: (agent.token, Session(name=name, version="1", peer_id=PeerId(index)))
            for index, (name, agent) in enumerate(self.agents.items())
        }
        self.tell(Started(self.operation, Epoch(self.epochs), f"nonce{self.epochs}", sessions))

    def tell(self, event: Event) -> None:
        for command in self.leader.step(event, self.now_s):
            self._carry_out(command)
            self.commands += 1
            if self.commands == self.crash_after:
                self.crash()
                return

    def _carry_out(self, command: Command) -> None:
        match command:
            case Persist(ctl=ctl, operation=operation, members=members):
                self.members |= members
                if operation is not None:
                    self.operation = operation
                if ctl is not None:
                    if ctl.epoch != self.ctl.epoch:
                        self.votes, self.members = {}, dict(members)
                    self.ctl = ctl
                    self.history.append((ctl, dict(self.members)))
            case Run(effect=effect):
                self.running.append((COORDINATOR, effect))
            case Stop(epoch=epoch):
                self.running = [
                    r for r in self.running if r[0] != COORDINATOR or r[1].epoch != epoch
                ]
            case _:
                raise AssertionError(command)

    def crash(self, *, acted: bool = False) -> None:
        """The leader dies; what it was doing has happened (`acted`) or not. Another takes over."""
        self.crashes += 1
        mine = [effect for owner, effect in self.running if owner == COORDINATOR]
        self.running = [r for r in self.running if r[0] != COORDINATOR]
        if acted:
            for effect in mine:
                self.act(COORDINATOR, effect)
        self.leader = self.new_leader()
        votes = dict(self.votes)
        self.tell(TakenOver(self.ctl, self.operation, dict(self.members), votes))
        for (phase, agent), vote in votes.items():  # the shell feeds what is there once more
            self.tell(Voted(agent, self.ctl.epoch, phase, vote))

    # Agents

    def deliver(self, name: AgentName) -> bool:
        """The next revision of ctl reaches an agent. False if it has seen all."""
        agent = self.agents[name]
        if agent.seen == len(self.history):
            return False
        ctl, members = self.history[agent.seen]
        agent.seen += 1
        member = members.get(name) if ctl.epoch else None
        self._tell_agent(name, Seen(ctl, member))
        return True

    def deliver_all(self) -> bool:
        """One revision to each agent that lags. False if none does."""
        return bool([name for name in AGENTS if self.deliver(name)])

    def _tell_agent(self, name: AgentName, event: Event) -> None:
        agent = self.agents[name]
        for command in agent.machine.step(event, self.now_s):
            match command:
                case CastVote(phase=phase, vote=vote):
                    if agent.seen == len(self.history):  # guarded by ctl's revision
                        self.votes[phase, name] = vote
                        self.tell(Voted(name, self.ctl.epoch, phase, vote))
                case Run(effect=effect):
                    self.running.append((name, effect))
                case Stop(epoch=epoch):
                    self.running = [r for r in self.running if r[0] != name or r[1].epoch != epoch]
                case _:
                    raise AssertionError(command)

    def restart(self, name: AgentName) -> None:
        """An agent's process dies and comes back under a new session, told of the newest ctl."""
        self.running = [r for r in self.running if r[0] != name]
        self.tokens += 1
        agent = self.agents[name] = Agent(
            self.new_agent(FencingToken(self.tokens)), FencingToken(self.tokens)
        )
        self.tell(SessionMoved(name, None))
        self.tell(SessionMoved(name, agent.token))
        agent.seen = max(0, len(self.history) - 1)

    # Effects

    def answer(self, index: int, failure: Failure | None = None) -> None:
        """One running effect ends."""
        owner, effect = self.running.pop(index)
        result = None if failure else self.act(owner, effect)
        event: Event = Failed(effect, failure) if failure else Done(effect, result)
        if owner == COORDINATOR:
            self.tell(event)
        else:
            self._tell_agent(AgentName(owner), event)

    def act(self, owner: str, effect: Effect) -> object:
        if owner == COORDINATOR:
            return self._act_as_leader(effect)
        return self._act_as_agent(AgentName(owner), effect)

    def _act_as_leader(self, effect: Effect) -> object:
        match effect:
            case Probe() | PublishRestore():
                if isinstance(effect, PublishRestore):
                    assert self.marked, "published without a mark"
                    assert not self.left, "published before its reshards are over"
                    self.ended.setdefault(effect.epoch, State.DONE)
                self.published = self.published or isinstance(effect, PublishRestore)
                return None
            case CheckRestore() | Review():
                return "draft" if isinstance(effect, CheckRestore) else "report"
            case ReadMarks(epoch=epoch):
                return StoreMarks(epoch, published=self.marked, ended=self.ended.get(epoch))
            case MakeWay():
                if self.left:
                    self.ended.setdefault(effect.epoch, State.PENDING)
                return OperationId(f"n-{self.reshards}" if self.left else "")
            case TakeUp(before=before):
                assert self.ended[before[0]] is State.PENDING
                assert before[1] == "report"
                return "draft"
            case MarkPublished(report=report):
                self.marked = self.marked or report
                return self.marked
            case Create():
                self.made = True
                return {} if self.without_shards else {name: (task_of(name),) for name in AGENTS}
            case Drain():
                self.number += 1
                self.drains += 1
                return Drained((), f"t{self.drains}")
            case RollBack():
                self.made = False
                self.recovered.clear()
                assert not self.marked, "undoes what is marked as published"
                self.ended.setdefault(effect.epoch, State.ROLLED_BACK)
                return None
            case _:
                raise AssertionError(effect)

    def _act_as_agent(self, name: AgentName, effect: Effect) -> object:
        match effect:
            case Observe(probe=probe):
                return Observed("view", "", probe, 0, None)
            case HasRecovered():
                vote = self.votes.get((Phase.RECOVER.value, name))
                return vote is not None and vote.yes
            case Recover():
                assert self.made, "recovers into nothing"
                self.recovered.add(name)
                return None
            case Verify():
                assert name in self.recovered, "verifies what it has not recovered"
                self.writes_at[Phase.VERIFY.value, name] = self.writes
                return Verified(self._readings(name), "document")
            case ReadNumbers():
                self.writes_at[Phase.SEAL.value, name] = self.writes
                return self._readings(name)
            case _:
                raise AssertionError(effect)

    def _readings(self, name: AgentName) -> Readings:
        return Readings((self.number,), f"start {self.startups[name]}", 0)

    def write(self) -> None:
        """A client writes to the collection that is being restored."""
        if self.made:
            self.number += 1
            self.writes += 1

    # Running on

    def tick(self, seconds: float = 1.0) -> None:
        self.now_s += seconds
        self.tell(Tick())
        for name in AGENTS:
            self._tell_agent(name, Tick())
        if self.operation.state is State.PENDING and self.leader.idle:
            if waits_for_reshards(self.operation) and self.left:
                self.left = 0 if self.operation.cancelled else self.left - 1
            else:
                self.begin()

    def cancel(self) -> None:
        """As the shell does: one that is pending is canceled in etcd."""
        if not self.leader.idle:
            self.tell(Cancelled())
        elif waits_for_reshards(self.operation):
            self.operation = replace(self.operation, cancelled=True)

    def over(self) -> bool:
        return self.operation.state in FINAL_STATES

    def run_on(self, *, newest_first: bool = False, rounds: int = 200) -> None:
        """No more faults: everything that can go on does, until the end."""
        for _ in range(rounds):
            while self.deliver_all() or self._answer_one(-1 if newest_first else 0):
                pass
            if self.over():
                return
            self.tick()
        raise AssertionError(f"does not come to an end: {self.ctl} {self.running}")

    def _answer_one(self, which: int) -> bool:
        """Answers an effect that runs; the looks that agents repeat in PREPARE come last."""
        looks = [i for i, (_, e) in enumerate(self.running) if isinstance(e, Observe)]
        busy = [i for i in range(len(self.running)) if i not in looks]
        if busy or looks:
            self.answer((busy or looks)[which])
        return bool(busy or looks)

    def check(self) -> None:
        """What must hold at the end, whatever happened on the way."""
        state = self.operation.state
        assert not [effect for owner, effect in self.running if owner == COORDINATOR]
        assert self.published == (state is State.DONE) or state is State.NEEDS_OPERATOR
        if state is State.DONE:
            assert self.made
            assert self.recovered == set(AGENTS)
            assert self.operation.detail == "report"
            for name in AGENTS:
                before = self.writes_at[Phase.VERIFY.value, name]
                assert before == self.writes_at[Phase.SEAL.value, name], "a write went unseen"
        if state in {State.ROLLED_BACK, State.ABORTED}:
            assert not self.made, f"{state}, but something was left"
            assert self.operation.failure is not None
