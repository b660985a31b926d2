"""Names of peers for people: that of the agent next to a peer, or else the peer's id. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def peer_and_id(peer: int, agents: Mapping[int, str]) -> str:
    """`qdrant-0 (peer 5648073843172795)`, where an operator may have to type the id."""
    name = agents.get(peer)
    return f"{name} (peer {peer})" if name else f"peer {peer}"
