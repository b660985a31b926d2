"""Votes: counting them, and the failures that they lead to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from cleancut.core.primitives.codec import decode, digest_of
from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.etcd_records import (
    Away,
    Ctl,
    EpochMember,
    Failure,
    Operation,
    Reading,
    Session,
    ShardTask,
    Vote,
)
from cleancut.core.protocol.events import Voted
from cleancut.core.protocol.evidence import Consistency, consistency_of, doubt, is_quiet
from cleancut.core.protocol.fence import Fence, FenceSeen
from cleancut.core.protocol.requests import BackupRequest, SeedRequest
from cleancut.core.protocol.states import Phase

_SHOWN = 5
Members = Mapping[AgentName, EpochMember]
Votes = Mapping[tuple[str, AgentName], Vote]

CANCELLED = Failure(reason="CANCELLED", message="cancelled on request")
LEADER_CHANGED = Failure(
    reason="UNAVAILABLE", message="the leading coordinator changed before the uploads"
)
NO_AGENT = Failure(
    reason="REFUSED",
    message="no agent is connected",
    hint="start cleancut-agent for each Qdrant peer",
    away=Away.NEVER_CAME,
)


def taken_over(*, cancelled: bool) -> Failure:
    """Why an attempt of a predecessor ends."""
    return CANCELLED if cancelled else LEADER_CHANGED


def agent_problems(sessions: Mapping[AgentName, Session]) -> tuple[str, ...]:
    """One for each agent that cannot use its Qdrant."""
    return tuple(
        f"agent {name}: {said.problem or 'its Qdrant does not answer'}"
        for name, said in sorted(sessions.items())
        if said.peer_id is None
    )


def no_agent(problems: Sequence[str]) -> Failure:
    """Why none takes part: `problems` of the agents that are connected."""
    if not problems:
        return NO_AGENT
    return Failure(
        reason="REFUSED",
        message=f"no connected agent can use its Qdrant: {'; '.join(problems[:_SHOWN])}",
        hint="correct the URL or the API key of the agents, or start their Qdrant",
        away=Away.NEVER_CAME,
    )


SESSION_LOST = Failure(
    reason="UNAVAILABLE",
    message="lost its session before all shards were read",
    away=Away.LEFT,
)
FENCE_LOST = Failure(
    reason="UNAVAILABLE",
    message="the fence was gone before all shards were read",
    hint="use a greater --fence-budget, or find out which client renames that alias",
)
VIEW_CHANGED = Failure(
    reason="UNAVAILABLE",
    message="the cluster changed during the backup: a shard, an alias or a schema",
)


def backup_request(operation: Operation | None) -> BackupRequest:
    """The request of a backup."""
    assert operation is not None, "no attempt without an operation"
    return decode(BackupRequest, operation.request.encode(), "the operation's request")


def seed_request(operation: Operation | None) -> SeedRequest:
    """The request of a seed."""
    assert operation is not None, "no attempt without an operation"
    return decode(SeedRequest, operation.request.encode(), "the operation's request")


def counts(event: Voted, member: EpochMember) -> bool:
    """True for a vote under the member's own token. The end of an upload counts from a restarted
    agent too, whose journal then holds this epoch's finished capture."""
    return event.vote.session == member.session or event.phase == Phase.UPLOAD.value


def yes_of_all(phase: Phase, members: Members, votes: Votes) -> list[Vote] | None:
    """The yes of every member in `phase`, in the order of names; None if one is missing."""
    found = [votes.get((phase.value, name)) for name in sorted(members)]
    given = [vote for vote in found if vote is not None and vote.yes]
    return given if len(given) == len(members) else None


def all_ready(view: str, members: Members, votes: Votes) -> bool:
    """True if all see `view` and each has prepared for exactly the tasks it was given."""
    given = yes_of_all(Phase.PREPARE, members, votes)
    if given is None:
        return False
    wanted = [digest_of(members[name].tasks) for name in sorted(members)]
    return all(vote.view == view for vote in given) and [vote.ready for vote in given] == wanted


def indexed(
    collections: Sequence[str], tasks: Mapping[AgentName, tuple[ShardTask, ...]]
) -> dict[AgentName, tuple[ShardTask, ...]]:
    """The tasks with their collections' indexes, by which `ctl` names the undrained ones."""
    index = {name: number for number, name in enumerate(collections)}
    return {
        agent: tuple(replace(task, index=index[task.collection]) for task in given)
        for agent, given in tasks.items()
    }


def drained(collections: Sequence[str], undrained: Sequence[int]) -> dict[str, bool]:
    """True for each collection whose drains both answered; `undrained` are indexes."""
    return {name: index not in undrained for index, name in enumerate(collections)}


def not_point_in_time(members: Members, votes: Votes, was_drained: Mapping[str, bool]) -> Failure:
    """The failure that names the shards in doubt, with the reasons."""
    doubts = [
        f"{task.collection}/{task.shard_id} on {name} (peer {task.peer_id}): {why}"
        for name, task, first, second in _readings(members, votes)
        if (why := doubt(first, second, drained=was_drained[task.collection]))
    ]
    shown = "; ".join(doubts[:_SHOWN]) + (
        f"; and {len(doubts) - _SHOWN} more" * (len(doubts) > _SHOWN)
    )
    shards = "1 shard is" if len(doubts) == 1 else f"{len(doubts)} shards are"
    return Failure(
        reason="NOT_POINT_IN_TIME",
        message=f"{shards} not proven to be of one instant: {shown}",
        hint="hold writes off with --fence, try a quieter moment, or allow a per-shard backup",
    )


def requires_instant(operation: Operation | None, *, fenced: bool) -> bool:
    """True if the backup must be of one instant: as asked for, and with a fence for as long as
    there are attempts, since a write that slipped through may not do so again."""
    request = backup_request(operation)
    again = fenced and operation is not None and operation.counted < request.attempts
    return again or request.require_point_in_time


def all_follow(members: Members, votes: Votes) -> bool:
    """True if the log of every shard is followed by its agent."""
    ready = yes_of_all(Phase.PREPARE, members, votes)
    return ready is not None and all(vote.follows for vote in ready)


def optimizing(shards: int, bound_s: float) -> Failure:
    """The failure of an attempt for which optimizations did not end in time."""
    told = "1 shard is" if shards == 1 else f"{shards} shards are"
    return Failure(
        reason="NOT_POINT_IN_TIME",
        message=f"{told} still under optimization (optimizing) after a wait of {bound_s:g} s",
        hint="try again when Qdrant has optimized them, or allow a per-shard backup",
    )


def consistency(members: Members, votes: Votes, was_drained: Mapping[str, bool]) -> Consistency:
    """The consistency that the backup will have, from the votes of CUT and SEAL."""
    quiet = [
        is_quiet(first, second, drained=was_drained[task.collection])
        for _, task, first, second in _readings(members, votes)
    ]
    return consistency_of(quiet)


def _readings(
    members: Members, votes: Votes
) -> Iterator[tuple[AgentName, ShardTask, Reading, Reading]]:
    """Each shard with its agent and both readings, from the votes of CUT and SEAL."""
    for name, member in sorted(members.items()):
        cut, seal = votes[Phase.CUT.value, name], votes[Phase.SEAL.value, name]
        for index, task in enumerate(member.tasks):
            yield name, task, _reading(index, cut), _reading(index, seal)


def fence_seen(ctl: Ctl, members: Members, votes: Votes) -> tuple[FenceSeen, ...]:
    """Each agent's observations of the fence on its local peer: when it was raised, and after the
    last readings. None without one."""
    if not ctl.fenced:
        return ()
    last = Phase.STANDSTILL if ctl.round else Phase.SEAL
    return tuple(
        FenceSeen(
            agent=name,
            before=votes[Phase.FENCE.value, name].fenced,
            after=votes[last.value, name].fenced,
        )
        for name in sorted(members)
    )


def objection(ctl: Ctl, votes: Sequence[Vote]) -> Failure | None:
    """The reason why the cut must not become a backup at all; None if it may."""
    if {vote.view for vote in votes} != {ctl.views}:
        return VIEW_CHANGED
    if ctl.fenced and not all(vote.fenced for vote in votes):
        return FENCE_LOST
    return None


def _reading(index: int, vote: Vote) -> Reading:
    return Reading(
        number=vote.numbers[index],
        incarnation=vote.incarnation,
        arrivals=vote.arrivals,
        state=vote.states[index] if vote.states else None,
    )


def fence_over(phase: Phase, fence: Fence | None) -> Failure:
    """The failure of an attempt whose fence used up its budget."""
    budget_s = fence.budget_s if fence is not None else 0.0
    return Failure(
        reason="TIMED_OUT",
        message=f"the fence's budget of {budget_s:g} s was over in {phase}",
        hint="use a greater --fence-budget, or see the logs for the slow step",
    )


def overdue(phase: Phase, members: Members, votes: Votes) -> Failure:
    """The failure of an attempt whose `phase` took too long."""
    missing = [name for name in sorted(members) if (phase.value, name) not in votes]
    if missing:
        message = f"{phase} took too long: no vote of {', '.join(missing[:5])}"
        return Failure(reason="TIMED_OUT", message=message, hint="look at that agent's log")
    views = {vote.view for vote in yes_of_all(phase, members, votes) or []}
    if phase is Phase.PREPARE and len(views) > 1:
        message = "the peers did not agree on one view of the cluster"
        hint = "look for a transfer under way, or a peer that knows other peer ids"
        return Failure(reason="UNAVAILABLE", message=message, hint=hint)
    return Failure(reason="TIMED_OUT", message=f"{phase} took too long")


def stalled(bound_s: float) -> Failure:
    """The failure of an attempt in which no bytes moved for too long."""
    return Failure(reason="TIMED_OUT", message=f"no upload made progress for {bound_s:.0f} s")


def reported_by(agent: AgentName, failure: Failure | None) -> Failure:
    """`failure` with the name of the agent that reported it."""
    failure = failure or Failure(reason="FAILED", message="gave no reason")
    return replace(failure, message=f"agent {agent}: {failure.message}")


VERIFY_BYTES_PER_S = 20e6


def verify_bound_s(members: Members) -> float:
    """Extra time to count the bytes at the fullest peer."""
    loads = [sum(task.size_bytes for task in member.tasks) for member in members.values()]
    return max(loads, default=0) / VERIFY_BYTES_PER_S


def with_tasks(members: Members) -> dict[AgentName, EpochMember]:
    """The members with tasks: only their votes are waited for."""
    return {name: member for name, member in members.items() if member.tasks}


def tasks_of_all(members: Members) -> dict[AgentName, tuple[ShardTask, ...]]:
    return {name: member.tasks for name, member in members.items()}


def documents_of(
    members: Mapping[AgentName, EpochMember], votes: Votes, phase: Phase = Phase.VERIFY
) -> tuple[tuple[AgentName, str], ...]:
    """The digest of each agent's document of that phase, by agent."""
    names = sorted(with_tasks(members))
    return tuple((name, votes[phase.value, name].document) for name in names)
