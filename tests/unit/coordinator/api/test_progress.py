"""Progress as it is shown."""

from __future__ import annotations

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.etcd_records import ProgressRecord
from cleancut.ports.coordination import Put
from cleancut_coordinator.api.progress import read_progress
from tests.unit.coordinator.leader.test_state import context, run


@run
async def test_what_is_done_is_never_more_than_all() -> None:
    """A shard grows while it is stored, or is sent again; without an estimate there is no total."""
    at = context()
    for done, total, shown in ((5, 9, 9), (9, 5, 9), (7, 0, 0)):
        record = ProgressRecord(phase="UPLOAD", done_bytes=done, total_bytes=total, rate=1)
        await at.etcd.txn([], [Put(at.keys.progress(Epoch(5)) + "a1", encode(record))])
        (progress,) = await read_progress(at, Epoch(5))
        assert (progress.bytes_done, progress.bytes_total) == (done, shown)
