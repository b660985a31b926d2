"""What must hold of every reshard."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from cleancut.core.primitives.codec import decode
from cleancut.core.protocol.etcd_records import Ctl, Operation
from cleancut.core.protocol.requests import ReshardRequest
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, Phase, State
from cleancut_coordinator.reshard.migration import uuid_of
from simulation.outcome import Checker, Outcome
from simulation.replica import POINTED
from simulation.resharding import IDS, owners
from simulation.wal import cut_of


def no_point_lost(outcome: Outcome) -> Iterator[str]:
    """Every replica of every shard holds what clients know to be written, in its newest version,
    and nothing else: no point is lost, stale, there twice or back again. Of replicas that differed
    before, one is enough."""
    qdrant, acked = outcome.qdrant, outcome.reshardings.acked
    found = qdrant.collections.get(POINTED)
    if found is None or found is not qdrant.first_pointed or found.resharding is not None:
        return
    home = owners(found.shards)
    for place in qdrant.places(POINTED):
        held = [
            (peer.id, dict(peer.replicas[place].points))
            for peer in qdrant.peers.values()
            if place in peer.replicas
        ]
        if outcome.diverged:
            merged: dict[int, int] = {}
            for _, points in held:
                merged |= {p: max(v, merged.get(p, v)) for p, v in points.items()}
            held = [(held[0][0], merged)]
        for peer, points in held:
            for point in range(IDS):
                version = acked.get(point) if home[point] == place[1] else None
                if points.get(point) != version:
                    yield (
                        f"point {point} at peer {peer} in shard {place[1]} of {found.shards} is of"
                        f" version {points.get(point)}, not {version}"
                    )


def never_captured_halfway(outcome: Outcome) -> Iterator[str]:
    """No shard is captured while the number of its collection's shards changes."""
    lives = {found.uuid: found for found in outcome.qdrant.every}
    for epoch, manifest in outcome.manifests().items():
        uuids = {entry.name: entry.uuid for entry in manifest.collections}
        for shard in manifest.shards:
            cut = cut_of(outcome.shared, shard)
            for span in lives[uuids[shard.collection]].resharded if cut else ():
                if cut is not None and span.from_s <= cut.at_s < span.until_s:
                    yield f"group {epoch} holds {shard.collection} as it was at {cut.at_s:.3f}"


def ring_epochs(outcome: Outcome) -> Iterator[str]:
    """A ring is committed only for the step that etcd says is to be committed then."""
    ctls = outcome.ctls()
    for commit in outcome.reshardings.commits:
        ctl = next((ctl for at_s, ctl in reversed(ctls) if at_s <= commit.at_s), Ctl())
        mine = uuid_of(ctl.operation, ctl.epoch) == commit.uuid
        if not mine or ctl.phase not in {Phase.COMMIT, Phase.CLEAN}:
            yield f"{commit.at_s:.3f}: a ring of {commit.uuid} was committed in {ctl.phase}"


def reshards(outcome: Outcome) -> list[Operation]:
    records = outcome.known_records().values()
    return [one for one in records if one.kind is OperationKind.RESHARD]


def _asked(record: Operation) -> ReshardRequest:
    return decode(ReshardRequest, record.request.encode(), "the request")


def number_is_true(outcome: Outcome) -> Iterator[str]:
    """A reshard that has ended says how many shards there are; nothing of it is under way; one that
    is done has made as many as were asked for."""
    ended = dict[str, float]()
    for at_s, record in outcome.operations():
        if record.state in FINAL_STATES:
            ended.setdefault(record.id, at_s)
    for record in reshards(outcome):
        request = _asked(record)
        lives = [one for one in outcome.qdrant.every if one.name == request.collection]
        if record.state is State.DONE and record.reached != request.shards:
            yield f"{record.id} is done with {record.reached} shards, not {request.shards}"
        if record.state in {State.NEEDS_OPERATOR, State.ABORTED} or record.id not in ended:
            continue
        at_s = ended[record.id]
        life = next((one for one in lives if one.made_s <= at_s < one.dropped_s), None)
        if life is None or not record.reached:
            continue
        if any(one.from_s <= at_s < one.until_s for one in life.resharded):
            yield f"{record.id} is {record.state}, and a resharding is under way"
        elif life.shards_at(at_s) != record.reached:
            yield f"{record.id} says {record.reached} shards, there are {life.shards_at(at_s)}"


def nothing_disturbed_is_done(outcome: Outcome) -> Iterator[str]:
    """Where nothing goes wrong, a reshard that is not canceled is done."""
    if not outcome.shared.trace.calm or outcome.diverged:
        return
    for record in reshards(outcome):
        name, follows = _asked(record).collection, bool(_asked(record).after)
        lives = [one for one in outcome.qdrant.every if one.name == name]
        if len(lives) != 1 or (follows and record.state is State.ABORTED):
            continue  # its restore was not verified
        dropped = lives[0].dropped_s != float("inf")
        canceled = record.cancelled or record.state is State.CANCELED
        if record.state is not State.DONE and not canceled and not dropped:
            yield f"{record.id} is {record.state}: {record.failure}"


def others_get_their_turn(outcome: Outcome) -> Iterator[str]:
    """At most one step of a reshard begins between the request of another operation and its first
    attempt; another reshard waits for its end."""
    asked = dict[str, float]()
    for at_s, record in outcome.operations():
        if record.kind is not OperationKind.RESHARD and not record.after:
            asked.setdefault(record.id, at_s)
    begun = dict[str, float]()
    steps = list[tuple[float, str]]()
    for at_s, ctl in outcome.ctls():
        if ctl.phase is Phase.PREPARE:
            begun.setdefault(ctl.operation, at_s)
        if ctl.phase is Phase.MOVE and ctl.kind is OperationKind.RESHARD:
            steps.append((at_s, ctl.operation))
    for name, from_s in asked.items():
        until_s = begun.get(name, from_s)
        past = [one for at_s, one in steps if from_s < at_s < until_s and one != name]
        for other in set(past):
            if past.count(other) > 1:
                yield f"{name} waited for {past.count(other)} steps of {other}"


def published_last(outcome: Outcome) -> Iterator[str]:
    """No alias of a restore points to what it made before each of its reshards has ended."""
    ended = dict[str, float]()
    for at_s, record in outcome.operations():
        if record.state in FINAL_STATES:
            ended.setdefault(record.id, at_s)
    operations = {f"epoch {ctl.epoch}": ctl.operation for _, ctl in outcome.ctls()}
    restores = {found.uuid: operations.get(found.maker) for found in outcome.qdrant.every}
    following = [(_asked(one), ended.get(one.id, inf)) for one in reshards(outcome)]
    for _, moment in outcome.moments():
        for alias, name in moment.aliases.items():
            restore = restores.get(moment.uuids.get(name, "")) if alias[:5] == "live-" else None
            for asked, end_s in following:
                if (asked.collection, asked.after) == (name, restore) and moment.at_s < end_s:
                    yield f"{moment.at_s:.3f}: {alias} points to {name}, which is being resharded"


RESHARD_CHECKERS: tuple[Checker, ...] = (
    no_point_lost,
    never_captured_halfway,
    ring_epochs,
    number_is_true,
    nothing_disturbed_is_done,
    others_get_their_turn,
    published_last,
)
