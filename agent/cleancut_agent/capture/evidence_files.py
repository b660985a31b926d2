"""Evidence in the agent's own directory: one file for each shard. It only saves reads of the local
disk."""

from __future__ import annotations

from pathlib import Path

from cleancut.core.capture.evidence import (
    MAX_EVIDENCE_BYTES,
    Evidence,
    decode_evidence,
    encode_evidence,
)
from cleancut_agent.shard_files import MAX_SHARDS, ShardFiles


class EvidenceFiles:
    """Records by shard. Blocking: a record has about 150 bytes for each file of the shard."""

    def __init__(self, directory: Path, most: int = MAX_SHARDS) -> None:
        self._files = ShardFiles(directory / "evidence", most)

    def read(self, collection: str, shard_id: int) -> Evidence | None:
        """What is recorded of the shard; None: nothing that can be used."""
        data = self._files.read(collection, shard_id, MAX_EVIDENCE_BYTES + 1)
        found = decode_evidence(data) if data is not None else None
        same = found and (found.collection, found.shard_id) == (collection, shard_id)
        return found if same else None

    def put(self, evidence: Evidence) -> None:
        """Remembers this record of its shard instead of any other, if it says anything."""
        data = encode_evidence(evidence)
        if not evidence.files or len(data) > MAX_EVIDENCE_BYTES:
            self.drop(evidence.collection, evidence.shard_id)
        else:
            self._files.put(evidence.collection, evidence.shard_id, data)

    def drop(self, collection: str, shard_id: int) -> None:
        """Nothing is recorded of the shard any more."""
        self._files.drop(collection, shard_id)

    def forget(self, before_s: float) -> None:
        """Records that were put before that time are gone."""
        self._files.forget(before_s)
