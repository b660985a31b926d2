"""Checkers of restores: what must hold, by the global record alone."""

from __future__ import annotations

from collections.abc import Iterator

from cleancut.core.format.manifest import Manifest, ShardEntry
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.ids import Epoch, ShardId
from cleancut.core.protocol.etcd_records import Ctl, EpochMember, Operation, Reading, Vote
from cleancut.core.protocol.evidence import only_drained
from cleancut.core.protocol.states import OperationKind, Phase, State
from cleancut.core.restore.overwrite import OldData
from cleancut.core.restore.plan import CollectionPlan
from cleancut.core.restore.report import RestoreDraft
from simulation.outcome import Checker, Outcome
from simulation.replica import USER, SimCollection
from simulation.trace import Copy, Moment
from simulation.wal import tar_of

Attempt = list[tuple[Ctl, Moment]]
LAG_S = 1.0
"""After which every peer that is up knows what the cluster has agreed on."""


def attempts(outcome: Outcome) -> dict[Epoch, Attempt]:
    """The restores' moments that etcd knows of in the end, by epoch."""
    found: dict[Epoch, Attempt] = {}
    for ctl, moment in outcome.remembered():
        if ctl.kind is OperationKind.RESTORE:
            found.setdefault(ctl.epoch, []).append((ctl, moment))
    return found


def _makes(attempt: Attempt) -> bool:
    """False for one that publishes what an earlier attempt has restored."""
    return any(ctl.phase is Phase.CREATE for ctl, _ in attempt)


def _makers(outcome: Outcome) -> dict[Epoch, Epoch]:
    """By each attempt, the one of its operation that made the collections."""
    made, found = dict[str, Epoch](), dict[Epoch, Epoch]()
    for epoch, attempt in sorted(attempts(outcome).items()):
        if _makes(attempt):
            made[attempt[0][0].operation] = epoch
        found[epoch] = made.get(attempt[0][0].operation, epoch)
    return found


def _verified(attempt: Attempt) -> Moment | None:
    """When it was published, or let its reshards go first."""
    made = _makes(attempt)
    return (_moment(attempt, Phase.PUBLISH) or _moment(attempt, Phase.IDLE)) if made else None


def maker_of(epoch: Epoch) -> str:
    return f"epoch {epoch}"


def _moment(attempt: Attempt, phase: Phase) -> Moment | None:
    """The last one in which ctl came to `phase`."""
    return next((moment for ctl, moment in reversed(attempt) if ctl.phase is phase), None)


def _operations(outcome: Outcome) -> dict[str, Operation]:
    """The last record of each restore."""
    records = outcome.known_records()
    return {name: one for name, one in records.items() if one.kind is OperationKind.RESTORE}


def _wanted(outcome: Outcome, attempt: Attempt) -> tuple[Manifest, tuple[CollectionPlan, ...]]:
    """The group, and what was to come back of it under which name."""
    ctl, store, paths = attempt[-1][0], outcome.shared.archive, outcome.shared.paths
    path = paths.staged(ctl.epoch, ctl.draft)
    draft = decode(RestoreDraft, store[path], path)
    path = paths.group(draft.backup)
    return decode(Manifest, store[path], path), draft.planned


def _life(outcome: Outcome, uuid: str) -> SimCollection | None:
    return next((found for found in outcome.qdrant.every if found.uuid == uuid), None)


def _own(outcome: Outcome, epoch: Epoch, name: str) -> SimCollection | None:
    """The newest collection that the attempt made under this name."""
    mine = [c for c in outcome.qdrant.every if (c.maker, c.name) == (maker_of(epoch), name)]
    return mine[-1] if mine else None


def never_half(outcome: Outcome) -> Iterator[str]:
    """What is published holds, on every replica of every shard, exactly the group's tar, and no
    write from before it was sealed if the group's count is known."""
    for epoch, attempt in attempts(outcome).items():
        moment, sealed = _verified(attempt), _moment(attempt, Phase.SEAL)
        if moment is None or sealed is None:
            continue
        manifest, planned = _wanted(outcome, attempt)
        for one in planned:
            name = one.created_as
            mine = _own(outcome, epoch, name)
            if mine is None:
                yield f"epoch {epoch} is published and never made {name}"
                continue
            if mine.dropper == USER and mine.dropped_s <= moment.at_s:  # a stranger's deed
                if mine.dropped_s < sealed.at_s - LAG_S:
                    yield f"epoch {epoch} is published, and {name} had long been deleted"
                continue
            if moment.uuids.get(name) != mine.uuid:
                yield f"epoch {epoch} is published and {name} is not what it made"
                continue
            shards = {
                shard.shard_id: (shard, tar_of(outcome.shared, shard))
                for shard in manifest.shards_of(one.name)
            }
            yield from _compare(name, shards, moment.copies.get(name, ()), sealed.at_s)


def _compare(
    name: str,
    shards: dict[ShardId, tuple[ShardEntry, str]],
    copies: tuple[Copy, ...],
    sealed_s: float,
) -> Iterator[str]:
    if {copy.shard_id for copy in copies} != set(shards):
        yield f"{name} is published with shards {sorted({copy.shard_id for copy in copies})}"
    for copy in copies:
        shard, tar = shards[ShardId(copy.shard_id)]
        where = f"{name}/{copy.shard_id} at peer {copy.peer_id}"
        if copy.dirty or copy.tar != tar:
            yield f"{where} is published with {copy.tar or 'nothing'}, dirty: {copy.dirty}"
        elif shard.count is not None and any(at_s < sealed_s for at_s in copy.writes):
            yield f"{where} is published with a stranger's write from before SEAL"


def told_by_all(outcome: Outcome) -> Iterator[str]:
    """At PUBLISH every agent with shards had said yes to RECOVER, and to VERIFY and SEAL of the
    last round, within one incarnation of its peer and with nothing but a drain in between. An etcd
    that goes back may forget a vote that the leader has seen."""
    forgets = bool(outcome.shared.trace.turns)
    for epoch, attempt in attempts(outcome).items():
        moment = _verified(attempt)
        if moment is None:
            continue
        ctl = next(ctl for ctl, one in attempt if one is moment)
        votes = {tuple(kv.key.split("/")[-2:]): decode(Vote, kv.value, "v") for kv in moment.votes}
        tasks = 0
        for kv in moment.members:
            member, name = decode(EpochMember, kv.value, kv.key), kv.key.rpartition("/")[2]
            if not member.tasks:
                continue
            tasks += len(member.tasks)
            given = [votes.get((p.value, name)) for p in (Phase.RECOVER, Phase.VERIFY, Phase.SEAL)]
            if forgets and None in given:
                continue
            if not all(vote is not None and vote.yes for vote in given):
                yield f"epoch {epoch} is published without all votes of {name}"
                continue
            _, first, second = given
            assert first is not None
            assert second is not None
            if {first.ready, second.ready} != {ctl.cut_at}:
                yield f"epoch {epoch} is published with votes of {name} from another round"
            if len(first.numbers) != len(member.tasks) or not _all_quiet(first, second):
                yield f"epoch {epoch} is published although {name} saw writes or a restart"
        if not tasks:
            yield f"epoch {epoch} is published and no agent had shards"


def _all_quiet(first: Vote, second: Vote) -> bool:
    pairs = zip(_readings(first), _readings(second), strict=True)
    return all(only_drained(before, after) for before, after in pairs)


def _readings(vote: Vote) -> list[Reading]:
    return [
        Reading(number=number, incarnation=vote.incarnation, arrivals=vote.arrivals)
        for number in vote.numbers
    ]


def votes_answer(outcome: Outcome) -> Iterator[str]:
    """A vote that counts answers the phase and the round at which ctl stands."""
    for at_s, kv, ctl in outcome.shared.trace.votes:
        epoch, phase, agent = kv.key.split("/")[-3:]
        vote = decode(Vote, kv.value, kv.key)
        if ctl.kind is not OperationKind.RESTORE:
            continue
        if (int(epoch), phase, vote.ready) != (ctl.epoch, ctl.phase.value, ctl.cut_at):
            yield f"{at_s:.3f}: {agent} voted {epoch} {phase} {vote.ready} at {ctl.phase}"


def round_of_leader(outcome: Outcome) -> Iterator[str]:
    """A round of verification is of one leader: who takes over begins a new one."""
    for epoch, attempt in attempts(outcome).items():
        if not _makes(attempt):
            continue
        began: dict[str, str] = {}
        for ctl, moment in attempt:
            if ctl.phase is Phase.VERIFY:
                if ctl.cut_at in began:
                    yield f"epoch {epoch}: round {ctl.cut_at} was begun twice"
                began[ctl.cut_at] = moment.writer
            if ctl.phase is Phase.SEAL and began.get(ctl.cut_at) != moment.writer:
                yield f"epoch {epoch}: {moment.writer} sealed a round of another leader"


def undone_leaves_nothing(outcome: Outcome) -> Iterator[str]:
    """A restore that was rolled back, or aborted, has left no collection."""
    states = {record.id: record.state for record in _operations(outcome).values()}
    for epoch, attempt in attempts(outcome).items():
        state = states.get(attempt[0][0].operation)
        left = [
            name
            for name, found in outcome.qdrant.collections.items()
            if found.maker == maker_of(epoch)
        ]
        if left and state in {State.ROLLED_BACK, State.ABORTED}:
            yield f"epoch {epoch} is {state} and has left {', '.join(left)}"


def drops_own_only(outcome: Outcome) -> Iterator[str]:
    """A restore drops only what it made itself, or what had just taken the place of that when it
    asked for it: Qdrant deletes by name. Or it was asked to overwrite it."""
    overwritten = {(maker_of(epoch), old.uuid) for epoch, _, old in overwrites(outcome)}
    later = {maker_of(epoch): maker_of(made) for epoch, made in _makers(outcome).items()}
    for found in outcome.qdrant.every:
        if (found.dropper, found.uuid) in overwritten:
            continue
        dropper = later.get(found.dropper, found.dropper)
        if found.drop_known and dropper not in {"", USER, found.maker}:
            yield f"{found.dropper} dropped {found.uuid} of {found.maker}"


def overwrites(outcome: Outcome) -> Iterator[tuple[Epoch, Attempt, OldData]]:
    """The attempts that have decided to overwrite something."""
    store, paths = outcome.shared.archive, outcome.shared.paths
    for epoch, attempt in attempts(outcome).items():
        if _moment(attempt, Phase.PUBLISH) is not None:
            path = paths.staged(epoch, attempt[-1][0].draft)
            old = decode(RestoreDraft, store[path], path).old
            if old is not None:
                yield epoch, attempt, old


def overwritten_is_kept(outcome: Outcome) -> Iterator[str]:
    """Nothing alive is lost: what a restore overwrites is, with every write to it from before its
    shards were read for the last time, in a backup of that very collection."""
    manifests, uploads = outcome.manifests(), dict[Epoch, float]()
    for at_s, ctl in outcome.ctls():
        if ctl.phase is Phase.UPLOAD:
            uploads[ctl.epoch] = at_s
    for epoch, attempt, old in overwrites(outcome):
        life, kept = _life(outcome, old.uuid), manifests.get(old.backup)
        if life is None or life.dropper != maker_of(epoch):
            continue
        if kept is None or old.uuid not in {entry.uuid for entry in kept.collections}:
            yield f"epoch {epoch} overwrote {old.uuid}, which backup {old.backup} does not hold"
            continue
        since_s = uploads[old.backup] + LAG_S
        read_s = max(
            moment.at_s
            for ctl, moment in attempt
            if ctl.phase is Phase.PUBLISH and moment.at_s < life.dropped_s
        )
        lost = [at_s for at_s in life.lost_s if since_s < at_s < read_s]
        if lost:
            yield f"epoch {epoch} overwrote {old.uuid} with writes of {min(lost):.3f}"


def old_data_stays(outcome: Outcome) -> Iterator[str]:
    """A tar is put only into what a restore made, and not any more once that is published."""
    published = {
        maker_of(epoch): moment.at_s
        for epoch, attempt in attempts(outcome).items()
        if (moment := _verified(attempt)) is not None
    }
    for swap in outcome.shared.trace.swaps:
        life = _life(outcome, swap.uuid)
        if life is None or life.maker == USER:
            yield f"{swap.at_s:.3f}: {swap.place} of a user was overwritten by {swap.recipe}"
        elif swap.at_s > published.get(life.maker, float("inf")):
            yield f"{swap.at_s:.3f}: {swap.place} was overwritten after {life.maker} published it"


def nothing_lost_silently(outcome: Outcome) -> Iterator[str]:
    """No write is wiped by a restore that is published, except one that came after the shard's
    points were counted and before the tar was in place: Qdrant offers no way to see that. A
    restarted agent sees no stranger's points either, if the group does not hold the count."""
    published = {
        maker_of(epoch)
        for epoch, attempt in attempts(outcome).items()
        if (moment := _verified(attempt)) is not None
        and not (_restarted(moment) and _bounded(_wanted(outcome, attempt)[0]))
    }
    for uuid, at_s in outcome.shared.trace.wiped:
        life = _life(outcome, uuid)
        if life is not None and life.maker in published:
            yield f"{life.maker} wiped a write of {at_s:.3f} in {life.name}, and is published"


def _restarted(moment: Moment) -> bool:
    """An agent has recovered its shards under another session than it was given them under."""
    sessions = {
        kv.key.rpartition("/")[2]: decode(EpochMember, kv.value, kv.key).session
        for kv in moment.members
    }
    votes = {tuple(kv.key.split("/")[-2:]): decode(Vote, kv.value, "v") for kv in moment.votes}
    return any(
        vote.session != sessions.get(name)
        for (phase, name), vote in votes.items()
        if phase == Phase.RECOVER.value
    )


def _bounded(manifest: Manifest) -> bool:
    return any(shard.count is None for shard in manifest.shards)


def one_tar(outcome: Outcome) -> Iterator[str]:
    """Two recoveries of one replica at a time are of the same tar."""
    yield from outcome.shared.trace.two_tars


def aliases_point(outcome: Outcome) -> Iterator[str]:
    """At the end of a restore its aliases point to what it made."""
    makers = _makers(outcome)
    for epoch, attempt in attempts(outcome).items():
        moment = _moment(attempt, Phase.IDLE)
        if moment is None or _moment(attempt, Phase.PUBLISH) is None:
            continue
        planned = _wanted(outcome, attempt)[1]
        pairs = [(alias, one.created_as) for one in planned for alias in one.aliases]
        for alias, name in pairs:
            mine = _own(outcome, makers[epoch], name)
            gone = mine is not None and mine.dropped_s <= moment.at_s
            if alias.startswith("live-") and not gone and moment.aliases.get(alias) != name:
                yield f"epoch {epoch} is done and {alias} points to {moment.aliases.get(alias)}"


def told_truly(outcome: Outcome) -> Iterator[str]:
    """A restore's state is what its attempts came to, and there is one outcome."""
    ways: dict[str, list[list[Phase]]] = {}
    for attempt in attempts(outcome).values():
        ways.setdefault(attempt[0][0].operation, []).append([ctl.phase for ctl, _ in attempt])
    stopped: list[list[Phase]] = [[Phase.ABORT]]
    if outcome.shared.trace.turns:
        stopped.append([])  # it waited, and may not begin
    for name, record in _operations(outcome).items():
        went = ways.get(name, [])
        published = sum(Phase.PUBLISH in way for way in went)
        touched = sum(Phase.CREATE in way for way in went)
        last = went[-1] if went else []
        waits = last[-2:] == [Phase.SEAL, Phase.IDLE]
        if published > 1 or touched > 1:
            yield f"{name} was published {published} times and created {touched} times"
        wrong = {
            State.DONE: last[-2:] != [Phase.PUBLISH, Phase.IDLE],
            State.ROLLED_BACK: last[-2:] != [Phase.ROLLBACK, Phase.ABORT],
            State.NEEDS_OPERATOR: (last[-1:] not in stopped and not waits)
            or record.failure is None,
            State.ABORTED: touched > 0 or record.failure is None,
        }
        if wrong.get(record.state, False):
            yield f"{name} is shown as {record.state}, and went {[p.value for p in last]}"


RESTORE_CHECKERS: tuple[Checker, ...] = (
    never_half,
    told_by_all,
    votes_answer,
    round_of_leader,
    undone_leaves_nothing,
    drops_own_only,
    overwritten_is_kept,
    old_data_stays,
    nothing_lost_silently,
    one_tar,
    aliases_point,
    told_truly,
)
