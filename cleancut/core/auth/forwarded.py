"""Forwarded calls: what a standby states to the leader about a call that it passes on. Pure."""

from __future__ import annotations

from cleancut.core.auth.roles import Role
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import FencingToken

SIGNATURE_BYTES = 64
"""Of Ed25519."""


class ForwardedCall(Record, frozen=True):
    """`forwarder`: the coordinator that authenticated the caller and checked its role for `method`.
    `leader`: the token of the leader that it is meant for. `who`, `how`, `role`: the caller."""

    forwarder: str
    leader: FencingToken
    method: str
    who: str
    how: str
    role: Role


def problem_of(call: ForwardedCall, method: str, leader: FencingToken) -> str:
    """Why `call` does not stand for one of `method` to this leader; "" if it does."""
    if call.method != method:
        return f"it is stated to be one of {call.method}"
    if call.leader != leader:
        return "it is meant for another leader"
    return ""
