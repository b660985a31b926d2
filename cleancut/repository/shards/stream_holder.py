"""Peer that a shard's stream came from, as the stream itself says."""

from __future__ import annotations

import msgspec

from cleancut.core.cluster.answering_peer import check_answering
from cleancut.core.primitives.errors import Corrupt
from cleancut.core.primitives.ids import PeerId
from cleancut.repository.shards.tar_scanner import Event, MemberData, MemberEnd, MemberStart

REPLICA_STATE = "replica_state.json"
_MAX_BYTES = 1 << 20


class _ReplicaState(msgspec.Struct):
    """Source: lib/collection/src/shards/replica_set/mod.rs (ReplicaSetState), Qdrant 1.18.3"""

    this_peer_id: int | None = None


class StreamHolder:
    """Looks for the member that names the peer. `peer_id`: the one that it must be."""

    def __init__(self, peer_id: PeerId) -> None:
        self._peer_id = peer_id
        self._data: bytearray | None = None

    def see(self, event: Event) -> None:
        """Raises: Refused, if another peer has sent the stream; Corrupt."""
        match event:
            case MemberStart():
                self._data = bytearray() if event.path == REPLICA_STATE else None
            case MemberData():
                if self._data is not None and len(self._data) < _MAX_BYTES:
                    self._data += event.piece
            case MemberEnd():
                data, self._data = self._data, None
                if data is not None:
                    self._check(bytes(data))

    def _check(self, data: bytes) -> None:
        try:
            found = msgspec.json.decode(data, type=_ReplicaState).this_peer_id
        except msgspec.MsgspecError as error:
            raise Corrupt(f"{REPLICA_STATE} of a shard's stream cannot be read") from error
        check_answering(self._peer_id, found, "the stream of a shard")
