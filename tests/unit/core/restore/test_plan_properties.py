"""Plans of generated groups, clusters and requests.

What must hold of every plan:

- it raises nothing but NotFound and Invalid, and survives being written and read;
- its upper bounds together are at least what all replicas hold;
- equal worlds give equal digests, with or without the restore's id; the digest is another once a
  peer, or who has one of its names, has changed;

and of every plan without blockers:

- there is a peer, and an agent beside each one;
- no two collections or aliases get the same name;
- no collection is created under a name that a collection or an alias has;
- the published name is the collection's own, or one of its aliases;
- exactly the aliases that exist are replaced, and none of them is a collection's name;
- only shards without any replica are repaired, in an existing collection, at a peer with an agent.
"""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cleancut.core.format.manifest import CollectionEntry, Manifest
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Invalid, NotFound
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId, ShardId
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.plan import CollectionPlan, PlacementPlan, make_plan
from cleancut.core.restore.target import LiveCollection, LiveReplica, Rate, Target, TargetPeer
from tests.support.restore_groups import MB, collection, group, info_of, shard

ID = "r-0123456789abcdef"
LONG = "l" * 190
NAMES = ("a", "b", "c", "a@r-00000000000000aa", f"a@{ID}", LONG)
ODD = ("..", "x/y", "")
ALIASES = ("a", "b", "live", "x/y", "..")

versions = st.sampled_from(("1.17.1", "1.18.3", "1.18.3", "1.18.3", "1.19.0"))
sizes = st.integers(0, 3000).map(lambda number: number * MB)


@st.composite
def keyed(draw: st.DrawFn, name: str) -> CollectionEntry:
    """A collection with shard keys; now and then with ids that nobody can make again."""
    gaps = st.lists(st.sampled_from((1, 1, 1, 2)), min_size=3, max_size=3)
    ids = itertools.accumulate(draw(gaps), initial=draw(st.sampled_from((1, 1, 1, 3, 0))))
    keys: list[tuple[str | int, tuple[ShardId, ...]]] = []
    for key, count in (("k", 1), (7, draw(st.integers(1, 2)))):
        keys.append((key, tuple(ShardId(next(ids)) for _ in range(count))))
    return CollectionEntry(
        name=name,
        uuid=f"uuid-{name}",
        info=info_of(1, params={"sharding_method": "custom"}),
        shard_ids=tuple(sorted(number for _, numbers in keys for number in numbers)),
        shard_keys=tuple(keys),
    )


@st.composite
def entries(draw: st.DrawFn, name: str, aliases: tuple[str, ...]) -> CollectionEntry:
    if draw(st.integers(0, 4)) == 0:
        return replace(draw(keyed(name)), aliases=aliases)
    shards, factor = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    return replace(collection(name, shards, info=info_of(shards, factor)), aliases=aliases)


@st.composite
def groups(draw: st.DrawFn) -> Manifest:
    """As Qdrant has it, an alias belongs to one collection; a name may be an alias elsewhere."""
    odd = draw(st.integers(0, 3)) == 0
    pool = NAMES + ODD if odd else NAMES[:4]
    names = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3, unique=True))
    free = draw(st.permutations(ALIASES if odd else ("live", "x/y", "..", "now")))
    cut = sorted(draw(st.lists(st.integers(0, 3), min_size=len(names), max_size=len(names))))
    chosen = []
    for index, name in enumerate(names):
        mine = tuple(free[cut[index - 1] if index else 0 : cut[index]])
        chosen.append(draw(entries(name, mine)))
    shards = tuple(
        shard(entry.name, number, size=draw(sizes))
        for entry in chosen
        for number in entry.shard_ids
    )
    return group(*chosen, shards=shards, version=draw(versions))


@st.composite
def targets(draw: st.DrawFn, manifest: Manifest, request: RestoreRequest) -> Target:
    """Mostly with little in the way, so that there are plans that can be carried out."""
    calm = draw(st.integers(0, 3)) > 0
    lonely = not calm and draw(st.booleans())
    disks = draw(st.booleans())
    peers = tuple(
        TargetPeer(
            peer_id=PeerId(number),
            agent=None if lonely and draw(st.booleans()) else AgentName(f"agent-{number}"),
            qdrant_version=manifest.source.qdrant_version,
            free_bytes=draw(st.integers(0, 20_000)) * MB if disks else None,
        )
        for number in range(1, draw(st.integers(1 if calm else 0, 5)) + 1)
    )
    some = ("old", "old2") if calm else (*NAMES, "old")
    there = draw(st.lists(st.sampled_from(some), max_size=3, unique=True))
    if request.only_shards and calm:
        there += request.collections
    moved = not calm or request.replace
    known = (*ALIASES, "now", "c", "n")
    named = draw(st.lists(st.sampled_from(known), max_size=4 * moved, unique=True))
    aliases = {name: draw(st.sampled_from(there)) for name in named if there and name not in there}
    return Target(
        peers=peers,
        collections=tuple(there),
        aliases=tuple(sorted(aliases.items())),
        live=tuple(draw(lives(manifest, name, len(peers))) for name in there),
        rate=draw(st.none() | st.floats(1, 1e9).map(lambda rate: Rate(rate, rate, rate, 1))),
    )


@st.composite
def lives(draw: st.DrawFn, manifest: Manifest, name: str, peers: int) -> LiveCollection:
    """Mostly the group's collection with some shards lost."""
    same = [entry for entry in manifest.collections if entry.name == name]
    info = same[0].info if same and draw(st.integers(0, 4)) else info_of(1)
    shards = [int(number) for number in same[0].shard_ids] if same else [0]
    held = draw(st.lists(st.sampled_from(shards), max_size=2)) if shards and peers else []
    return LiveCollection(
        name=name,
        uuid=draw(st.sampled_from((f"uuid-{name}", "other"))),
        config=info["config"],
        replicas=tuple(
            LiveReplica(shard_id=ShardId(one), peer_id=PeerId(draw(st.integers(1, peers))))
            for one in held
        ),
    )


@st.composite
def requests(draw: st.DrawFn, manifest: Manifest) -> RestoreRequest:
    """Some contradict themselves, or name what is not there."""
    names = [entry.name for entry in manifest.collections]
    wrong = draw(st.integers(0, 7)) == 0
    chosen = draw(st.lists(st.sampled_from([*names, "no"] if wrong else names), unique=True))
    news = st.sampled_from(("n", "a", "b", "live", LONG))
    renames = [(draw(st.sampled_from(chosen or names)), draw(news)) for _ in range(1 + wrong)]
    how = draw(st.sampled_from(("", "beside", "replace")))
    if draw(st.integers(0, 2)) == 0:
        entry = draw(st.sampled_from(manifest.collections))
        wanted = draw(st.sets(st.sampled_from([*entry.shard_ids, *([9] * wrong)]), min_size=1))
        return RestoreRequest(
            backup=Epoch(4),
            collections=(entry.name,),
            only_shards=tuple(ShardId(number) for number in wanted),
            peer=draw(st.none() | st.integers(1, 2).map(PeerId)),
        )
    return RestoreRequest(
        backup=Epoch(4),
        collections=tuple(chosen),
        renames=tuple(renames) if draw(st.booleans()) else (),
        beside=how == "beside",
        replace=how == "replace",
        replicas=draw(st.sampled_from((0, 0, 1, 2, 9))),
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Manifest, RestoreRequest, Target]:
    manifest = draw(groups())
    request = draw(requests(manifest))
    return manifest, request, draw(targets(manifest, request))


World = tuple[Manifest, RestoreRequest, Target]


def _check(world: World, data: st.DataObject) -> None:
    """All that must hold of one world."""
    try:
        plan = make_plan(*world, ID)
    except (NotFound, Invalid) as told:
        event(told.reason)
        return
    _of_every_plan(plan)
    if plan.blockers:
        event("refused")
        return
    for planned in plan.collections:
        event(planned.action)
        if planned.action == "repair":
            _of_a_repair(planned, world)
        else:
            _of_names(planned, world[2])
    given_ = Counter(name for one in plan.collections for name in {one.created_as, *one.aliases})
    assert all(count == 1 for count in given_.values())
    assert plan.peers
    assert all(peer.agent for peer in plan.peers)
    _of_digests(plan, world, data)


def _of_every_plan(plan: PlacementPlan) -> None:
    assert decode(PlacementPlan, encode(plan), "plan") == plan
    for planned in plan.collections:
        assert (planned.action == "refuse") == bool(planned.reason)
        assert planned.replicas <= max(1, len(plan.peers))
    assert plan.size_bytes == sum(one.size_bytes * one.replicas for one in plan.collections)
    if plan.peers and not any(one.action == "refuse" for one in plan.collections):
        assert sum(peer.size_bytes_max for peer in plan.peers) >= plan.size_bytes
        shards = sum(one.shards * one.replicas for one in plan.collections)
        assert sum(peer.shards_max for peer in plan.peers) >= shards


def _of_names(one: CollectionPlan, there: Target) -> None:
    aliases = dict(there.aliases)
    assert one.created_as not in there.collections
    assert one.created_as not in aliases
    assert one.created_as not in ODD
    assert one.published_as in {one.created_as, *one.aliases}
    assert not set(one.aliases) & set(there.collections)
    assert dict(one.replaced) == {a: aliases[a] for a in one.aliases if a in aliases}
    assert (one.action == "replace") == bool(one.replaced)


def _of_a_repair(planned: CollectionPlan, world: World) -> None:
    _, request, there = world
    (live,) = [one for one in there.live if one.name == planned.name]
    assert planned.name in there.collections
    assert not {replica.shard_id for replica in live.replicas} & set(planned.shard_ids)
    assert set(planned.shard_ids) == set(request.only_shards)
    assert planned.repair_peer in {peer.peer_id for peer in there.peers if peer.agent}
    assert request.peer in {None, planned.repair_peer}
    assert not planned.aliases


def _of_digests(plan: PlacementPlan, world: World, data: st.DataObject) -> None:
    manifest, request, there = world
    free = data.draw(st.integers(20_000, 90_000)) * MB
    peers = tuple(replace(peer, free_bytes=free) for peer in there.peers)
    roomy = replace(there, peers=peers, rate=Rate(1.0, 1.0, 1.0, 1))
    assert make_plan(manifest, request, roomy).digest == plan.digest
    new = TargetPeer(peer_id=PeerId(77), agent=AgentName("new"), qdrant_version="1.18.3")
    for other in (
        replace(there, peers=(*there.peers, new)),
        replace(there, peers=there.peers[1:]),
        replace(there, peers=(replace(there.peers[0], agent=AgentName("o")), *there.peers[1:])),
        *(_taken(there, planned) for planned in plan.collections),
    ):
        assert make_plan(manifest, request, other, ID).digest != plan.digest


def _taken(there: Target, planned: CollectionPlan) -> Target:
    """Somebody has changed what has the published name."""
    if planned.action == "repair":
        return replace(there, collections=(), live=())
    aliases = dict(there.aliases)
    if planned.published_as in aliases:
        return replace(there, aliases=tuple((aliases | {planned.published_as: "moved"}).items()))
    return replace(there, collections=(*there.collections, planned.published_as))


@settings(max_examples=300)
@given(worlds(), st.data())
def test_plans_of_some_worlds(world: World, data: st.DataObject) -> None:
    _check(world, data)


@pytest.mark.chaos
@pytest.mark.timeout(900)
@settings(max_examples=5000)
@given(worlds(), st.data())
def test_plans_of_many_worlds(world: World, data: st.DataObject) -> None:
    _check(world, data)
