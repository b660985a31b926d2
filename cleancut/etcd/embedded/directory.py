"""State directory: the embedded etcd of one process, locked, read from its journal and kept."""

from __future__ import annotations

import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cleancut.core.primitives.errors import Refused
from cleancut.etcd.embedded.client import EmbeddedEtcd
from cleancut.etcd.embedded.journal import Journal, Loaded, new_journal, read_journal
from cleancut.etcd.embedded.model import EtcdModel, EtcdSnapshot
from cleancut.ports.clock import Clock

JOURNAL, LOCK = "journal", "lock"


@dataclass(frozen=True, slots=True)
class OpenState:
    """The etcd of a directory. `is_new`: there was no journal. `cut_bytes`: of a last line that a
    crash left unfinished; it was never acknowledged."""

    etcd: EmbeddedEtcd
    is_new: bool
    cut_bytes: int


@asynccontextmanager
async def open_state(directory: Path, clock: Clock) -> AsyncIterator[OpenState]:
    """The embedded etcd of `directory`, which is made if need be, for the length of the block.

    Leases of an earlier process are over at once: the lock shows that it has ended.
    Raises: Refused, if the directory cannot be used, or another process holds it; Corrupt.
    """
    with _locked(directory):
        path = directory / JOURNAL
        found = read_journal(path)
        loaded = found or new_journal()
        journal = Journal(path, loaded)
        etcd = EmbeddedEtcd(_model_of(loaded, clock.monotonic_s()), clock, journal)
        try:
            await etcd.start()
            yield OpenState(etcd, is_new=found is None, cut_bytes=loaded.cut_bytes)
        finally:
            await etcd.close()
            journal.close()


def _model_of(loaded: Loaded, now_s: float) -> EtcdModel:
    model = EtcdModel()
    held: dict[int, set[str]] = {}
    for key, kv in loaded.keys.items():
        if kv.lease:
            held.setdefault(kv.lease, set()).add(key)
    leases = {lease: (0.0, frozenset(keys)) for lease, keys in held.items()}
    snapshot = EtcdSnapshot(loaded.revision, loaded.keys, leases)
    model.go_back(snapshot, now_s, cluster_id=loaded.cluster_id)
    return model


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Raises: Refused."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (directory / LOCK).open("w")
    except OSError as error:
        raise Refused(
            f"cannot use the state directory {directory}: {error}", "check --state"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused(
                f"another process uses the state directory {directory}",
                "stop it, or give each one a --state of its own",
            ) from error
        yield
