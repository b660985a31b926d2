"""What must hold of every rebalance."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.primitives.codec import decode
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Vote
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.rebalance.phases import RebalanceDraft
from simulation.outcome import Checker, Outcome
from simulation.trace import Moment

Attempt = list[tuple[Ctl, Moment]]


def attempts(outcome: Outcome) -> dict[int, Attempt]:
    """The rebalances' moments, by epoch."""
    found: dict[int, Attempt] = {}
    for ctl, moment in outcome.remembered():
        if ctl.kind is OperationKind.REBALANCE:
            found.setdefault(ctl.epoch, []).append((ctl, moment))
    return found


def no_shard_lost(outcome: Outcome) -> Iterator[str]:
    """Every shard of every collection that is left has a whole replica, and its writes with it."""
    qdrant = outcome.qdrant
    for place in qdrant.logs:
        copies = [peer.replicas[place] for peer in qdrant.peers.values() if place in peer.replicas]
        if not copies:
            yield f"{place} has no replica any more"


def no_factor_undercut(outcome: Outcome) -> Iterator[str]:
    """A rebalance that is done has left no shard with fewer replicas than there were before it, or
    than the collection wants: what it drops is surplus."""
    for epoch, attempt in attempts(outcome).items():
        first, last = attempt[0][1], attempt[-1][1]
        if attempt[-1][0].phase is not Phase.IDLE:
            continue
        for name, uuid in last.uuids.items():
            life = next((one for one in outcome.qdrant.every if one.uuid == uuid), None)
            if life is None or first.uuids.get(name) != uuid:
                continue
            factor = int(life.info["config"]["params"]["replication_factor"])
            before, after = _copies(first, name), _copies(last, name)
            for shard, had in before.items():
                if len(after.get(shard, ())) < min(len(had), factor):
                    yield f"epoch {epoch}: {name}/{shard} had {sorted(had)}, has {after.get(shard)}"


def _copies(moment: Moment, name: str) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for copy in moment.copies.get(name, ()):
        found.setdefault(copy.shard_id, set()).add(copy.peer_id)
    return found


def done_is_true(outcome: Outcome) -> Iterator[str]:
    """Of a rebalance that is done, each replica that its plan made was counted by the agent of its
    peer."""
    records = outcome.known_records()
    for epoch, attempt in attempts(outcome).items():
        if attempt[-1][0].phase is not Phase.IDLE:
            continue
        verify = next((pair for pair in reversed(attempt) if pair[0].phase is Phase.VERIFY), None)
        if attempt[-1][0].operation not in records:
            continue  # etcd forgot it
        if verify is None:
            yield f"epoch {epoch} is done and never came to VERIFY"
            continue
        ctl, moment = attempt[-1]
        record = records[ctl.operation]
        if record.state is not State.DONE:
            yield f"epoch {epoch} is over at IDLE, and {record.id} is {record.state}"
        path = outcome.shared.paths.staged(ctl.epoch, verify[0].draft)
        plan = decode(RebalanceDraft, outcome.shared.archive[path], path).plan
        members = [decode(EpochMember, kv.value, kv.key) for kv in moment.members]
        given = {(t.collection, t.shard_id, t.peer_id) for one in members for t in one.tasks}
        for step in plan.steps:
            made = (step.collection, step.shard_id, step.target)
            there = [_copies(seen, step.collection) for seen in (verify[1], moment)]
            stays = all(step.target in copies.get(step.shard_id, ()) for copies in there)
            if stays and made not in given:
                yield f"epoch {epoch} is done, and no agent was asked to count {made}"
        votes = {tuple(kv.key.split("/")[-2:]): decode(Vote, kv.value, "v") for kv in moment.votes}
        for kv in moment.members:
            member, name = decode(EpochMember, kv.value, kv.key), kv.key.rpartition("/")[2]
            vote = votes.get((Phase.VERIFY.value, name))
            if member.tasks and (vote is None or not vote.yes):
                yield f"epoch {epoch} is done without the VERIFY of {name}"


def one_transfer_each(outcome: Outcome) -> Iterator[str]:
    """After the end of an attempt none of its transfers is under way."""
    for epoch, attempt in attempts(outcome).items():
        if attempt[-1][0].phase not in {Phase.IDLE, Phase.ABORT}:
            yield f"epoch {epoch} of a rebalance has not ended: {attempt[-1][0].phase}"


REBALANCE_CHECKERS: tuple[Checker, ...] = (
    no_shard_lost,
    no_factor_undercut,
    done_is_true,
    one_transfer_each,
)
