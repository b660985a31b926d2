"""Since when a peer is silent is known only as far as it was observed without a gap."""

from __future__ import annotations

from cleancut.core.doctor.silence import GAP_S, SeenPeers, away_of, observe, silent_s
from cleancut.core.primitives.ids import AgentName, PeerId

A, B = PeerId(1), PeerId(2)


def look(before: SeenPeers | None, now_s: float, *heard: PeerId) -> SeenPeers:
    return observe(before, now_s=now_s, members=(A, B), heard=heard)


def test_silence_grows_from_its_first_observation() -> None:
    seen = look(look(None, 100.0, A, B), 120.0, A)
    assert silent_s(seen, B, 120.0) == 0
    seen = look(seen, 140.0, A)
    assert silent_s(seen, B, 150.0) == 30
    assert silent_s(seen, A, 150.0) == 0


def test_a_peer_that_was_heard_once_starts_again() -> None:
    seen = look(look(look(None, 100.0), 120.0, B), 140.0)
    assert silent_s(seen, B, 140.0) == 0
    assert silent_s(seen, A, 140.0) == 40


def test_a_gap_or_another_clock_says_nothing() -> None:
    """Nobody looked: the peer may have lived meanwhile."""
    seen = look(None, 100.0)
    late = 100.0 + GAP_S + 1
    assert silent_s(seen, A, late) == 0
    assert silent_s(look(seen, late), A, late) == 0
    assert silent_s(seen, A, 50.0) == 0
    assert silent_s(look(seen, 50.0), A, 60.0) == 10
    assert silent_s(None, A, 100.0) == 0


def test_where_a_silent_peer_was_reached_is_kept_while_it_is_a_member() -> None:
    place = (B, "http://b:6333", "agent-b")
    seen = observe(None, now_s=1.0, members=(A, B), heard=(A, B), urls=(place,))
    seen = look(seen, 2.0, A)
    assert seen.urls == (place,)
    assert observe(seen, now_s=3.0, members=(A,), heard=(A,)).urls == ()


def test_an_agent_that_serves_another_peer_is_not_away() -> None:
    """Its old peer has lost its disk, and nothing comes back by waiting."""
    places = ((A, "http://a:6333", "agent-a"), (B, "http://b:6333", "agent-b"))
    seen = observe(None, now_s=1.0, members=(A, B), heard=(A, B), urls=places)
    mine, its = AgentName("agent-a"), AgentName("agent-b")
    assert away_of(seen, {A: mine}) == {B: its}
    assert away_of(seen, {A: mine, PeerId(9): its}) == {}
    assert away_of(None, {A: mine}) == {}
