"""What the API tells about a cluster's health, and about peers that are given up."""

from __future__ import annotations

from cleancut.client.model import Shown


class Finding(Shown, frozen=True):
    """One thing that is not as it should be. `severity`: error | warning | info. `cure`: a command
    or call to paste, "" if there is none."""

    kind: str
    severity: str
    what: str
    cure: str = ""


class Diagnosis(Shown, frozen=True):
    """Errors first; nothing for a healthy cluster."""

    findings: tuple[Finding, ...] = ()


class PeerLoss(Shown, frozen=True):
    """What one collection loses with a peer: shards whose only Active replica is there, and those
    that stay with fewer replicas."""

    collection: str
    lost_shards: tuple[int, ...] = ()
    thinner_shards: tuple[int, ...] = ()


class ForgottenPeer(Shown, frozen=True):
    """A peer that was forgotten, or would be; `findings` say what is to be done then."""

    peer_id: int
    uri: str = ""
    losses: tuple[PeerLoss, ...] = ()
    forgotten: bool = False
    findings: tuple[Finding, ...] = ()
