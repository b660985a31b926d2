"""Silence of peers: since when each member of the cluster has not answered. Pure.

The leader observes all peers all the time and keeps the result in etcd. A gap in the observations
starts the silence again: nothing is known of a peer that was not observed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import AgentName, PeerId

GAP_S = 150.0
"""Observations that are further apart than this say nothing of the time between them."""
RECENT_S = 600.0
"""A peer that was heard within this time is not given up without its id."""


class SeenPeers(Record, frozen=True):
    """The newest observation. `silent`: since when, by the leader's wall clock. `urls`: where each
    peer was reached last, and by which agent. `agents`: the newest one of each peer, even if
    it is away."""

    at_s: float
    silent: tuple[tuple[PeerId, float], ...] = ()
    urls: tuple[tuple[PeerId, str, str], ...] = ()
    nonce: str = ""
    agents: tuple[tuple[PeerId, AgentName], ...] = ()


def observe(
    before: SeenPeers | None,
    *,
    now_s: float,
    members: Collection[PeerId],
    heard: Collection[PeerId],
    urls: Collection[tuple[PeerId, str, str]] = (),
) -> SeenPeers:
    """What is known after one more look at the members."""
    old = dict(before.silent) if before is not None and _follows(before, now_s) else {}
    places = {entry[0]: entry for entry in (*(before.urls if before else ()), *urls)}
    agents = dict(before.agents) if before is not None else {}
    agents |= {peer: AgentName(name) for peer, _, name in urls if name}
    forgotten = set(agents) - set(members) if members else set()
    return SeenPeers(
        at_s=now_s,
        silent=tuple(
            (peer, min(now_s, old.get(peer, now_s)))
            for peer in sorted(members)
            if peer not in heard
        ),
        urls=tuple(places[peer] for peer in sorted(places) if peer in members),
        agents=tuple(one for one in sorted(agents.items()) if one[0] not in forgotten),
    )


def away_of(seen: SeenPeers | None, able: Mapping[PeerId, AgentName]) -> dict[PeerId, AgentName]:
    """The agents that were there before, of peers that have no usable one now; `able`: those that
    have, and which. An agent that serves another peer by now does not come back to its old one:
    that peer has lost its disk."""
    if seen is None:
        return {}
    serving = set(able.values())
    return {peer: name for peer, name in seen.agents if peer not in able and name not in serving}


def silent_s(seen: SeenPeers | None, peer: PeerId, now_s: float) -> float:
    """How long the peer is known to be silent; 0 if that is unknown."""
    if seen is None or not _follows(seen, now_s):
        return 0.0
    return max(0.0, now_s - dict(seen.silent).get(peer, now_s))


def _follows(seen: SeenPeers, now_s: float) -> bool:
    return 0 <= now_s - seen.at_s <= GAP_S
