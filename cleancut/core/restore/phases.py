"""The restore's phases as data, and the work that its machine asks of the coordinator's shell.

`TRANSITIONS` is complete: the machine asserts that it makes no other change of phase.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Drain, Probe
from cleancut.core.protocol.etcd_records import Ctl, Failure, Reading, Vote
from cleancut.core.protocol.evidence import only_drained
from cleancut.core.protocol.high_water import ReadMarks
from cleancut.core.protocol.moment import ShardMoment
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import PERMANENT, Phase, State
from cleancut.core.protocol.votes import Members, Votes, with_tasks
from cleancut.core.restore.overwrite import DrainOld

TRANSITIONS: dict[tuple[Phase, Phase], str] = {
    (Phase.IDLE, Phase.PREPARE): "an operation gets its turn",
    (Phase.ABORT, Phase.PREPARE): "an operation gets its turn",
    (Phase.PREPARE, Phase.ABORT): "a no, a bound, a lost session or leader; nothing was touched",
    (Phase.PREPARE, Phase.CREATE): "views agree, the plan has no blocker, every block is there",
    (Phase.CREATE, Phase.RECOVER): "all collections are made and placed",
    (Phase.RECOVER, Phase.VERIFY): "all shards are recovered, drained",
    (Phase.VERIFY, Phase.VERIFY): "a new leader drains again",
    (Phase.VERIFY, Phase.SEAL): "all are counted and searched, drained again",
    (Phase.SEAL, Phase.IDLE): "as to PUBLISH; its reshards come first",
    (Phase.PREPARE, Phase.SEAL): "its reshards are over, what it restored is known again",
    (Phase.PREPARE, Phase.ROLLBACK): "it was canceled while it waited for its reshards",
    (Phase.SEAL, Phase.VERIFY): "a peer restarted, its shards are counted again",
    (Phase.SEAL, Phase.PUBLISH): "all read again, no foreign writes, replicas are equal",
    (Phase.SEAL, Phase.STANDSTILL): "as to PUBLISH; what is to be overwritten is drained",
    (Phase.STANDSTILL, Phase.PUBLISH): "nothing was written to it since its own backup",
    (Phase.PUBLISH, Phase.PUBLISH): "what is overwritten is read again just before its deletion",
    (Phase.PUBLISH, Phase.IDLE): "aliases and settings are as they were",
    (Phase.PUBLISH, Phase.ABORT): "it cannot be published, or a write came: an operator is needed",
    (Phase.CREATE, Phase.ROLLBACK): "a failure, a bound or a cancel",
    (Phase.RECOVER, Phase.ROLLBACK): "a no, a bound or a cancel",
    (Phase.VERIFY, Phase.ROLLBACK): "a no, a bound or a cancel",
    (Phase.SEAL, Phase.ROLLBACK): "a no, a bound or a cancel",
    (Phase.STANDSTILL, Phase.ROLLBACK): "it was written to, a new leader, a bound or a cancel",
    (Phase.ROLLBACK, Phase.ABORT): "what was made is dropped, or an operator is needed",
    (Phase.CREATE, Phase.ABORT): "etcd has gone back: an operator is needed",
    (Phase.RECOVER, Phase.ABORT): "etcd has gone back: an operator is needed",
    (Phase.VERIFY, Phase.ABORT): "etcd has gone back: an operator is needed",
    (Phase.SEAL, Phase.ABORT): "a foreign write, etcd has gone back, or it cannot be marked",
    (Phase.STANDSTILL, Phase.ABORT): "etcd has gone back, or it cannot be marked",
}
"""Every change of phase of a restore, with its cause; ARCHITECTURE's diagram is made from it."""

STATE_OF = {
    Phase.PREPARE: State.PREPARING,
    Phase.CREATE: State.CREATING,
    Phase.RECOVER: State.RECOVERING,
    Phase.VERIFY: State.VERIFYING,
    Phase.SEAL: State.VERIFYING,
    Phase.STANDSTILL: State.VERIFYING,
    Phase.PUBLISH: State.PUBLISHING,
    Phase.ROLLBACK: State.ROLLING_BACK,
    Phase.IDLE: State.DONE,
}
UNDOABLE = frozenset({Phase.CREATE, Phase.RECOVER, Phase.VERIFY, Phase.SEAL, Phase.STANDSTILL})
ROUNDS = frozenset({Phase.VERIFY.value, Phase.SEAL.value})
"""Votes in these belong to one round of verification (`ready` = `Ctl.cut_at`)."""
ATTEMPTS = 3
RETRY_S = 2.0
TRIES = 10
"""Tries of a repeatable effect before the restore is rolled back."""
ROUNDS_MORE = 3
"""Rounds of verification, in addition to the first, if peers restart during it."""
REFUSED_S = 30.0
"""How long publishing or rolling back is repeated although it was refused."""
AT_ONCE = 4
"""Shards that one peer pulls, or counts, at the same time."""
RECOVER_BYTES_PER_S = 10e6
RECOVER_S = 60.0

LEADER_CHANGED = Failure(
    reason="UNAVAILABLE", message="the leading coordinator changed before anything was touched"
)
SESSION_LOST = Failure(reason="UNAVAILABLE", message="lost its session before anything was touched")
FOREIGN_WRITES = Failure(
    reason="REFUSED",
    message="a client wrote to a collection while it was restored; nothing was dropped, since what"
    " it wrote is nowhere else",
    hint="see what was written, and delete what was restored; then keep clients away from it until"
    " the restore is done, and restore again",
)

NEVER_STEADY = Failure(
    reason="UNAVAILABLE",
    message="a peer restarted during each round of verification",
    hint="find out why it restarts, then restore again",
)


@dataclass(frozen=True, slots=True)
class CheckRestore:
    """Plan against the live cluster, check that every block exists, stage the draft.
    Result: the draft's sha256."""

    epoch: Epoch
    request: RestoreRequest
    members: tuple[tuple[AgentName, int], ...]  # with the free bytes of each; -1: unknown


@dataclass(frozen=True, slots=True)
class Create:
    """Create the draft's collections with their payload indexes, where there is room for them.
    Result: the tasks of each agent. Repeatable: collections of this attempt are known by uuid."""

    epoch: Epoch
    draft: str
    members: tuple[tuple[AgentName, int], ...]  # as in `CheckRestore`


@dataclass(frozen=True, slots=True)
class Review:
    """Compare the agents' results, and store the report. Result: its sha256."""

    epoch: Epoch
    draft: str
    documents: tuple[tuple[AgentName, str], ...]


@dataclass(frozen=True, slots=True)
class MakeWay:
    """Mark that nothing of the attempt is left to be done, if reshards of this restore are to come
    before its names are published. Result: the last of them; "", if there is none. Repeatable."""

    epoch: Epoch
    draft: str
    report: str


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Stage what an earlier attempt has restored, `before` its reshards, as of this one: its draft,
    the uuids of its collections and its report. Result: the draft's sha256. Repeatable."""

    epoch: Epoch
    before: tuple[Epoch, str]


@dataclass(frozen=True, slots=True)
class MarkPublished:
    """Write into the store that this restore is published, before anybody can see it: from here on
    it is never undone. Result: the sha256 of the report that counts. Repeatable."""

    epoch: Epoch
    draft: str
    report: str


@dataclass(frozen=True, slots=True)
class PublishRestore:
    """Aliases, fan-out, cluster metadata, and strict mode last. Repeatable. `read_s`: when the last
    reading of what is overwritten began, on this leader's clock; None: it was not read. Result:
    False, if it has to be read (again) before it is deleted."""

    epoch: Epoch
    draft: str
    read_s: float | None = None


@dataclass(frozen=True, slots=True)
class RollBack:
    """Drop the collections of this attempt, and nothing else. Repeatable."""

    epoch: Epoch
    draft: str


RestoreEffect = (
    Probe
    | ReadMarks
    | CheckRestore
    | Create
    | Drain
    | Review
    | DrainOld
    | MakeWay
    | TakeUp
    | MarkPublished
    | PublishRestore
    | RollBack
)


def recover_bound_s(size_bytes: int, replay: ShardMoment | None = None) -> float:
    """Time limit to pull and load one shard, and to replay its log, while others share disk, store
    and processors."""
    log_s = replay.replay_s if replay is not None else 0.0
    return RECOVER_S + (size_bytes / RECOVER_BYTES_PER_S + log_s) * AT_ONCE


def longest_bound_s(members: Members) -> float:
    """The bound of the largest task of all agents."""
    tasks = [task for member in members.values() for task in member.tasks]
    return max((recover_bound_s(one.size_bytes, one.replay) for one in tasks), default=RECOVER_S)


def free_of(members: Members, votes: Votes) -> tuple[tuple[AgentName, int], ...]:
    """The free bytes of each member, from PREPARE; -1: unknown."""
    given = {name: votes.get((Phase.PREPARE.value, name)) for name in sorted(members)}
    return tuple((name, vote.free_bytes if vote else -1) for name, vote in given.items())


@dataclass(frozen=True, slots=True)
class Tried:
    """How often an effect has failed in its phase, which began `since_s` ago. `resharded`: the
    attempt publishes what an earlier one has restored."""

    tries: int
    since_s: float
    resharded: bool


def may_repeat(effect: Effect, failure: Failure, tried: Tried, stalled_s: float) -> bool:
    """True for an effect that is idempotent: not the second drain, whose number counts."""
    permanent = failure.reason in PERMANENT
    match effect:
        case ReadMarks():
            return True  # until they are read, nothing may be done, and nothing undone
        case Review() if not tried.resharded:
            return False
        case Review() | MakeWay() | TakeUp() | MarkPublished() | PublishRestore() | RollBack():
            return tried.since_s < (REFUSED_S if permanent else stalled_s)
        case Create() | Drain(round=1):
            return not permanent and tried.tries < TRIES
        case _:
            return False


def unfinished(ctl: Ctl, failure: Failure) -> Failure:
    """The failure of a restore that can be neither completed nor undone."""
    if ctl.phase is Phase.ROLLBACK:
        cause = ctl.failure.message if ctl.failure else "unknown"
        message = f"a restore failed ({cause}) and cannot be rolled back: {failure.message}"
    else:
        message = f"all shards are restored and verified, but not published: {failure.message}"
    return replace(failure, message=message)


def no_foreign_writes(members: Members, votes: Votes) -> bool:
    """True if only our own drain was applied to every replica between the two readings. A repaired
    shard has its writers again and is left out."""
    for name, member in with_tasks(members).items():
        first, second = votes[Phase.VERIFY.value, name], votes[Phase.SEAL.value, name]
        if len(first.numbers) != len(member.tasks) or len(second.numbers) != len(member.tasks):
            return False
        pairs = zip(member.tasks, _readings(first), _readings(second), strict=True)
        if not all(t.repair or only_drained(before, after) for t, before, after in pairs):
            return False
    return True


def peer_restarted(members: Members, votes: Votes) -> bool:
    """True if a peer restarted between the two readings, which makes them void. Only counts can
    show writes from before the restart."""
    return any(
        votes[Phase.VERIFY.value, name].incarnation != votes[Phase.SEAL.value, name].incarnation
        for name in with_tasks(members)
    )


def _readings(vote: Vote) -> list[Reading]:
    return [
        Reading(number=number, incarnation=vote.incarnation, arrivals=vote.arrivals)
        for number in vote.numbers
    ]
