"""Peer that answers: each request may reach another one where a load balancer stands in front of
several, and what one of them says or sends proves nothing of another."""

from __future__ import annotations

from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import WITHOUT_CLUSTER, PeerId


def check_answering(asked: PeerId, answers: int | None, what: str) -> None:
    """Raises: Refused, if another peer than the one that was asked for `what` answers. One without
    cluster mode has no id, and None is an answer that names none."""
    if asked not in {WITHOUT_CLUSTER, answers} and answers is not None:
        raise Refused(
            f"peer {asked} was asked for {what}, and peer {answers} answers",
            "give the agent the URL of the local peer (--qdrant-url), not of a load balancer or"
            " of a service with several peers",
        )
