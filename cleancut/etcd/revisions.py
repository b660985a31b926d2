"""Revisions that one client has seen: an etcd that goes back is noticed, and what rests on it ends.

A linearizable answer is never older than an answer that came before it was asked for. A smaller
revision, or another cluster's id, therefore says that etcd was restored from a snapshot.
"""

from __future__ import annotations

from cleancut.core.primitives.errors import LeaseLost
from cleancut.ports.coordination import Compacted


class SeenRevisions:
    """The highest revision so far. `turns`: how often etcd went back; leases and watches of before
    are over.

    Order: `highest` is read before a request is sent, and given to `saw` with its answer.
    """

    def __init__(self) -> None:
        self.highest = 0
        self.turns = 0
        self._cluster_id = 0

    def saw(self, floor: int, cluster_id: int, revision: int) -> None:
        """Takes note of a linearizable answer."""
        other = self._cluster_id not in {0, cluster_id} and cluster_id != 0
        if revision < floor or other:
            self.turns += 1
            self.highest = revision
        self.highest = max(self.highest, revision)
        self._cluster_id = cluster_id or self._cluster_id

    def check_lease(self, turns: int) -> None:
        """Raises: LeaseLost, if etcd went back since `turns` was read."""
        if turns != self.turns:
            raise LeaseLost(
                "etcd went back to an earlier state: it was restored from a snapshot",
                "nothing to do: a new session is opened, and everything is read again",
            )

    def check_watch(self, turns: int) -> None:
        """Raises: Compacted, if etcd went back since `turns` was read."""
        if turns != self.turns:
            raise Compacted(self.highest + 1)
