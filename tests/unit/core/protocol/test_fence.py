"""Fences: what is asked for, what a peer shows, what a manifest may claim, and how they end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.backup.phases import Compare, Raise
from cleancut.core.cluster.view import View
from cleancut.core.primitives.errors import Invalid, Refused
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId
from cleancut.core.protocol import votes
from cleancut.core.protocol.commands import Lift, Persist, Stop
from cleancut.core.protocol.etcd_records import Failure, Vote
from cleancut.core.protocol.events import Done, Failed, SessionMoved, Tick, Voted
from cleancut.core.protocol.fence import (
    CREATE_ALIAS,
    Fence,
    FencedAlias,
    FenceFacts,
    FenceRule,
    FenceSeen,
    FenceSettings,
    Hook,
    aliases_in_use,
    check_fence,
    check_rule,
    check_seen_everywhere,
    choose_fence,
    fenced_name,
    is_raised,
    leftover_fences,
    tag_of,
    without_fence,
)
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import Phase, State
from tests.support.groups import manifest, shard
from tests.unit.core.backup.test_barrier import A1, A2, FENCE, LONG_FENCE, barrier_in

EPOCH = Epoch(7)
VIEW = View(
    peers=(PeerId(1), PeerId(2)),
    collections=(),
    aliases=(("docs-w", "docs"), ("other-w", "other"), ("wiki-w", "wiki")),
)
CHOSEN = ("docs", "wiki")
BY_HOOK = FenceRule(collection="wiki", pause="http://w/p", resume="http://w/r")
RULES = FenceSettings(rules=(FenceRule(collection="docs", alias="docs-w"), BY_HOOK), budget_s=3.0)
DOCS = Fence(epoch=EPOCH, budget_s=2.0, aliases=(FencedAlias(alias="docs-w", collection="docs"),))


def chosen(*words: str, settings: FenceSettings = RULES, **more: Any) -> Fence | None:
    request = BackupRequest(fence=words, **more)
    check_fence(request)
    return choose_fence(EPOCH, request, settings, view=VIEW, chosen=CHOSEN)


def test_what_is_asked_for_replaces_what_is_configured() -> None:
    configured = chosen()
    assert configured is not None
    assert configured.collections == {"docs", "wiki"}
    assert configured.budget_s == 3.0
    by_hook = chosen("hook")
    assert by_hook is not None
    assert by_hook.aliases == ()
    assert by_hook.hooks == (Hook(collections=("wiki",), pause="http://w/p", resume="http://w/r"),)
    by_alias = chosen("alias=wiki-w", fence_budget_s=5.0)
    assert by_alias is not None
    assert by_alias.aliases == (FencedAlias(alias="wiki-w", collection="wiki"),)
    assert (by_alias.hooks, by_alias.budget_s) == ((), 5.0)
    assert chosen("none") is None
    assert chosen(settings=FenceSettings()) is None


def test_one_writer_of_many_collections_is_called_once() -> None:
    rules = (BY_HOOK, replace(BY_HOOK, collection="docs"))
    fence = chosen("hook", settings=FenceSettings(rules=rules))
    assert fence is not None
    (hook,) = fence.hooks
    assert set(hook.collections) == {"docs", "wiki"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("alias=nobody",), "alias does not exist"),
        (("alias=docs",), "alias does not exist"),
        (("alias=other-w",), "not backed up"),
    ],
)
def test_what_cannot_be_fenced_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(Refused, match=message):
        chosen(*words)


def test_a_rule_whose_alias_is_gone_says_which_call_makes_it_again() -> None:
    """A collection that was restored under its plain name without its aliases."""
    rules = (FenceRule(collection="docs", alias="docs-writers"),)
    with pytest.raises(Refused, match="cannot fence 'docs'") as raised:
        chosen(settings=FenceSettings(rules=rules))
    _, _, call = raised.value.hint.partition(CREATE_ALIAS)
    body, _ = json.JSONDecoder().raw_decode(call)
    made = {"collection_name": "docs", "alias_name": "docs-writers"}
    assert body == {"actions": [{"create_alias": made}]}
    assert "--fence none" in raised.value.hint


def test_a_rule_of_an_alias_is_one_of_the_collection_behind_it() -> None:
    """As after an overwrite: the rule still names what is an alias by now."""
    rules = FenceSettings(rules=(replace(BY_HOOK, collection="wiki-w"),))
    fence = chosen(settings=rules)
    assert fence is not None
    assert fence.collections == {"wiki"}


def test_names_without_a_fence() -> None:
    """A fenced alias keeps its name; one that has the name of a collection means that."""
    there = {"live@fence-7": "docs", "hides": "docs", "other": "wiki"}
    assert aliases_in_use(there, ["docs", "wiki", "hides"]) == {
        "live": "docs",
        "live@fence-7": "docs",
        "other": "wiki",
    }


def test_a_hook_must_be_configured() -> None:
    with pytest.raises(Refused, match="no hook"):
        chosen("hook", settings=FenceSettings())


@pytest.mark.parametrize(
    ("words", "budget_s"),
    [
        (("maybe",), 0.0),
        (("alias=",), 0.0),
        (("none", "hook"), 0.0),
        (("alias=a@fence-3",), 0.0),
        ((), 31.0),
        ((), -1.0),
        ((), float("nan")),
    ],
)
def test_words_that_mean_nothing_are_invalid(words: tuple[str, ...], budget_s: float) -> None:
    with pytest.raises(Invalid):
        check_fence(BackupRequest(fence=words, fence_budget_s=budget_s))


@pytest.mark.parametrize(
    "rule",
    [
        FenceRule(collection=""),
        FenceRule(collection="docs"),
        FenceRule(collection="docs", pause="http://w/p"),
        FenceRule(collection="docs", alias="a", pause="http://w/p", resume="http://w/r"),
        FenceRule(collection="docs", alias="a@fence-1"),
    ],
)
def test_rules_that_mean_nothing_are_invalid(rule: FenceRule) -> None:
    with pytest.raises(Invalid):
        check_rule(rule)
    check_rule(BY_HOOK)


def test_a_fence_must_be_seen_on_every_peer() -> None:
    check_seen_everywhere(VIEW, [PeerId(2), PeerId(1)])
    with pytest.raises(Refused, match="peer 2"):
        check_seen_everywhere(VIEW, [PeerId(1), None])


def test_a_peer_shows_a_fence_only_without_the_old_name() -> None:
    fenced = fenced_name("docs-w", EPOCH)
    assert is_raised(DOCS, {fenced: "docs", "wiki-w": "wiki"})
    assert not is_raised(DOCS, {fenced: "docs", "docs-w": "docs"})
    assert not is_raised(DOCS, {fenced: "wiki"})
    assert not is_raised(DOCS, {"docs-w": "docs"})
    assert not is_raised(DOCS, {fenced_name("docs-w", Epoch(6)): "docs"})
    assert not is_raised(DOCS, {fenced_name("docs-w", EPOCH, "5b5b5b5b"): "docs"})


def test_a_fenced_view_is_the_view_before_it() -> None:
    """Byte for byte, wherever the fenced name sorts; a fence of another epoch is a change."""
    fenced = fenced_name("docs-w", EPOCH)
    seen = replace(VIEW, aliases=(("a", "a"), (fenced, "docs"), ("wiki-w", "wiki")))
    assert without_fence(seen, DOCS).aliases == (
        ("a", "a"),
        ("docs-w", "docs"),
        ("wiki-w", "wiki"),
    )
    assert without_fence(seen, None) == seen
    assert without_fence(seen, replace(DOCS, epoch=Epoch(8))) == seen


def test_strays_are_told_by_their_names() -> None:
    (one,) = leftover_fences(["docs", "docs-w@fence-7", "docs@fence-", "@fence-3", "docs@fence-x"])
    assert one == ("docs-w@fence-7", "docs-w", EPOCH, "")
    (one,) = leftover_fences([fenced_name("docs-w", EPOCH, tag_of("5b" * 16))])
    assert one == ("docs-w@fence-5b5b5b5b-7", "docs-w", EPOCH, "5b5b5b5b")


def test_a_group_is_fenced_only_if_all_of_it_was() -> None:
    """Every collection, as seen by every agent that cut, both times."""
    group = manifest(7, (shard("docs", 0), shard("docs", 1, peer=2), shard("wiki", 0)))
    agents = sorted({AgentName(shard.agent) for shard in group.shards})
    seen = tuple(FenceSeen(agent=name, before=True, after=True) for name in agents)
    aliases = tuple(
        FencedAlias(alias=f"{entry.name}-w", collection=entry.name) for entry in group.collections
    )
    facts = FenceFacts(aliases=aliases, hooked=(), seen=seen)
    assert replace(group, fence=facts).fenced
    assert not group.fenced
    assert not replace(group, fence=replace(facts, aliases=aliases[1:])).fenced
    assert not replace(group, fence=replace(facts, seen=seen[1:])).fenced
    late = (*seen[:-1], replace(seen[-1], after=False))
    assert not replace(group, fence=replace(facts, seen=late)).fenced


@pytest.mark.parametrize("phase", [Phase.FENCE, Phase.CUT, Phase.SEAL])
def test_a_fence_ends_before_anything_else_is_done(phase: Phase) -> None:
    """Over its budget, with a lost session, a no, or a failed raise: what raises it is ended, then
    it is lifted, and only then is anything written."""
    no = Vote(session=barrier_in(phase, FENCE)[1].tokens[A1], yes=False)
    for event in (Tick(), SessionMoved(A1, None), Voted(A1, FENCE.epoch, phase.value, no)):
        barrier, _ = barrier_in(phase, FENCE)
        commands = barrier.step(event, 1e6 if isinstance(event, Tick) else barrier.phase_began_s)
        assert commands[:2] == [Stop(FENCE.epoch), Lift(FENCE)]
        assert isinstance(commands[2], Persist)
        assert barrier.ctl.phase is Phase.ABORT


def test_a_raise_that_fails_is_lifted() -> None:
    """It may have been raised all the same."""
    barrier, _ = barrier_in(Phase.FENCE, FENCE)
    assert barrier.waiting == Raise(FENCE.epoch, FENCE)
    failure = Failure(reason="TIMED_OUT", message="no answer")
    commands = barrier.step(Failed(barrier.waiting, failure), barrier.phase_began_s)
    assert Lift(FENCE) in commands
    assert barrier.operation is not None
    assert barrier.operation.state is State.PENDING


def test_answers_after_the_budget_come_too_late() -> None:
    """Agents have lifted the fence by then."""
    barrier, _ = barrier_in(Phase.FENCE, FENCE)
    assert barrier.waiting is not None
    commands = barrier.step(Done(barrier.waiting), barrier.phase_began_s + FENCE.budget_s)
    assert Lift(FENCE) in commands
    assert barrier.ctl.failure is not None
    assert "budget of 2 s" in barrier.ctl.failure.message


@pytest.mark.parametrize("stands", [True, False])
def test_a_fence_must_stand_until_all_is_read(stands: bool) -> None:
    barrier, table = barrier_in(Phase.SEAL, FENCE)
    for name in (A1, A2):
        last = stands or name == A1
        vote = replace(table.votes["CUT", name], view="view", numbers=(6,), fenced=last)
        commands = barrier.step(Voted(name, FENCE.epoch, "SEAL", vote), barrier.phase_began_s)
    assert Lift(FENCE) in commands
    if stands:
        assert commands[0] == Lift(FENCE)
        assert isinstance(barrier.waiting, Compare)
        barrier.step(Done(barrier.waiting), barrier.phase_began_s)
        assert barrier.ctl.phase is Phase.UPLOAD
        assert barrier.ctl.fence_ms > 0
    else:
        assert barrier.ctl.failure == votes.FENCE_LOST


@pytest.mark.parametrize(("left", "again"), [(1, True), (0, False)])
def test_a_fence_that_a_write_slipped_through_is_raised_again(left: int, again: bool) -> None:
    """While there are attempts: the last one ends as what it is."""
    barrier, table = barrier_in(Phase.SEAL, LONG_FENCE)
    assert barrier.operation is not None
    attempts = barrier.request().attempts - left
    barrier.operation = replace(barrier.operation, attempts=attempts)
    for name in (A1, A2):
        vote = replace(table.votes["CUT", name], view="view", numbers=(7,))
        barrier.step(Voted(name, barrier.ctl.epoch, "SEAL", vote), 1.0)
    state = barrier.operation.state if barrier.operation else State.PENDING
    assert (state is State.PENDING) is again
