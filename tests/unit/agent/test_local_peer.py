"""What an agent says of the disk that its peer uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cleancut_agent.context import AgentContext
from cleancut_agent.local_peer import storage_free_bytes


def _context(there: Path | None) -> AgentContext:
    unused: Any = None
    return AgentContext(
        name=unused,
        keys=unused,
        paths=unused,
        etcd=unused,
        store=unused,
        qdrant=unused,
        clock=unused,
        spill_dir=Path("/"),
        loopback="",
        qdrant_storage=there,
    )


def test_only_the_disk_that_is_named_counts(tmp_path: Path) -> None:
    """The spill's disk need not be Qdrant's: unknown is -1, never a guess."""
    assert storage_free_bytes(_context(tmp_path)) > 0
    assert storage_free_bytes(_context(None)) == -1
    assert storage_free_bytes(_context(tmp_path / "gone")) == -1
