"""Search for a standstill: where all logs end, round by round, until none has grown between two.

The rounds themselves are a phase of the barrier (D16). Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from cleancut.core.primitives.ids import AgentName
from cleancut.core.protocol.etcd_records import Ctl, Failure, Vote
from cleancut.core.protocol.states import Phase
from cleancut.core.protocol.votes import Members, Votes, yes_of_all

_SHOWN = 5
_LONGEST = 600
_HINT = "hold writes off with --fence, try a quieter moment, or allow a per-shard backup"


@dataclass(frozen=True, slots=True)
class Search:
    """What the rounds so far have shown; `until_s`: when no further one begins. Two are made in any
    case: without the first no end of the second is of any use.

    `ends`: the votes of the newest round, and `looked_s` when the last of them came. `still`: no
    log has grown since the round before. `moved`: of all pairs of rounds, the fewest shards that
    were written to in between, within `window_ms`; -1: no two rounds yet. `apart_ms`:
    so far apart the ends of the newest round were read at most; -1: the one before is missing, or
    some end is.
    """

    began_s: float = 0.0
    until_s: float = 0.0
    ends: Mapping[AgentName, Vote] = field(default_factory=dict)
    looked_s: float = 0.0
    still: bool = False
    moved: int = -1
    window_ms: int = -1
    apart_ms: int = -1

    def after(self, votes: Mapping[AgentName, Vote], now_s: float) -> Search:
        """The search after another round, whose last vote has come now."""
        lost = any(vote.lost for vote in votes.values())
        found = dataclasses.replace(self, ends=votes, looked_s=now_s, apart_ms=-1)
        if not self.ends or lost:
            return found
        still = all(self.ends[name].ends == vote.ends for name, vote in votes.items())
        moved = 0 if still else max(1, sum(max(0, vote.moved) for vote in votes.values()))
        apart_ms = window_ms = max(1, round((now_s - self.looked_s) * 1000))
        if self.moved < 0 or (moved, window_ms) < (self.moved, self.window_ms):
            found = dataclasses.replace(found, moved=moved, window_ms=window_ms)
        return dataclasses.replace(found, still=still, apart_ms=apart_ms)

    @property
    def facts(self) -> dict[str, Any]:
        """What `ctl` says of it."""
        waited_ms = max(1, round((self.looked_s - self.began_s) * 1000))
        return {"moved": self.moved, "window_ms": self.window_ms, "waited_ms": waited_ms}

    def given_up(self, ctl: Ctl, failure: Failure) -> Ctl:
        """Without a standstill each log is stored to its end in the newest round: deletes that a
        snapshot lacks are in it, and the shards are less far apart than their cuts."""
        ctl = replace(ctl, unstill=failure.message)
        if self.apart_ms < 0:
            return ctl
        return replace(ctl, standstill=ctl.round, skew_ms=self.apart_ms)

    @property
    def lost(self) -> Failure | None:
        """The failure of an attempt in which an agent cannot follow its logs; None if all do."""
        lost = [
            f"agent {name}: {vote.lost}" for name, vote in sorted(self.ends.items()) if vote.lost
        ]
        if not lost:
            return None
        message = f"the logs of shards cannot be followed any more: {'; '.join(lost[:_SHOWN])}"
        hint = "try again, hold writes off with --fence, or allow a per-shard backup"
        return Failure(reason="NOT_POINT_IN_TIME", message=message[:_LONGEST], hint=hint)

    @property
    def fenced(self) -> bool:
        """True if every agent saw the fence after it had read in the newest round."""
        return bool(self.ends) and all(vote.fenced for vote in self.ends.values())


def read_ends(number: int, members: Members, votes: Votes) -> dict[AgentName, Vote] | None:
    """The vote of each member in this round; None while one is missing."""
    given = yes_of_all(Phase.STANDSTILL, members, votes)
    if given is None or any(vote.round != number for vote in given):
        return None
    return dict(zip(sorted(members), given, strict=True))


def no_standstill(ctl: Ctl, members: Members) -> Failure:
    """The failure of an attempt whose shards never stood still together."""
    rounds = "1 round" if ctl.round == 1 else f"{ctl.round} rounds"
    held = ", the last of them while a fence held writes off" if ctl.fenced else ""
    shards = sum(len(member.tasks) for member in members.values())
    nearest = (
        f"; at the nearest, {ctl.moved} of {shards} shards took writes within {ctl.window_ms} ms"
        if ctl.moved > 0
        else ""
    )
    return Failure(
        reason="NOT_POINT_IN_TIME",
        message=f"no moment without writes to any shard was found in {rounds} within "
        f"{ctl.waited_ms / 1000:.1f} s{held}{nearest}",
        hint="writes come by another name than the fenced one: see `backup show --evidence`"
        if ctl.fenced
        else _HINT,
    )
