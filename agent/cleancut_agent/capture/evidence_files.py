"""Evidence in the agent's own directory: one file for each shard.

It only saves reads of the local disk, so nothing here fails: what cannot be read or written counts
as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from cleancut.core.capture.evidence import (
    MAX_EVIDENCE_BYTES,
    Evidence,
    decode_evidence,
    encode_evidence,
)

MAX_SHARDS = 10_000
"""Of a shard beyond them, nothing is kept."""


class EvidenceFiles:
    """Records by shard. Blocking: a record has about 150 bytes for each file of the shard."""

    def __init__(self, directory: Path, most: int = MAX_SHARDS) -> None:
        self._directory = directory / "evidence"
        self._most = most

    def read(self, collection: str, shard_id: int) -> Evidence | None:
        """What is recorded of the shard; None: nothing that can be used."""
        try:
            with self._file(collection, shard_id).open("rb") as file:
                found = decode_evidence(file.read(MAX_EVIDENCE_BYTES + 1))
        except OSError:
            return None
        same = found and (found.collection, found.shard_id) == (collection, shard_id)
        return found if same else None

    def put(self, evidence: Evidence) -> None:
        """Remembers this record of its shard instead of any other, if it says anything."""
        file = self._file(evidence.collection, evidence.shard_id)
        data = encode_evidence(evidence)
        with contextlib.suppress(OSError):
            if not evidence.files or len(data) > MAX_EVIDENCE_BYTES:
                file.unlink(missing_ok=True)
                return
            self._directory.mkdir(exist_ok=True)
            if not file.exists() and len(list(self._directory.iterdir())) >= self._most:
                return
            draft = file.with_suffix(".new")
            draft.write_bytes(data)
            draft.replace(file)

    def drop(self, collection: str, shard_id: int) -> None:
        """Nothing is recorded of the shard any more."""
        with contextlib.suppress(OSError):
            self._file(collection, shard_id).unlink(missing_ok=True)

    def forget(self, before_s: float) -> None:
        """Records that were put before that time are gone; so is what a killed process was at."""
        with contextlib.suppress(OSError):
            for file in list(self._directory.iterdir()):
                if file.suffix or file.stat().st_mtime < before_s:
                    file.unlink(missing_ok=True)

    def _file(self, collection: str, shard_id: int) -> Path:
        return self._directory / hashlib.sha256(f"{collection}/{shard_id}".encode()).hexdigest()
