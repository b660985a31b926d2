"""A backup of one version of Qdrant comes back in a newer one: two real servers, by environment.

`QDRANT_OLDER_BIN` names the server that the backup is of, `QDRANT_BIN` the one that gets it.
"""

from __future__ import annotations

import os

import pytest

from cleancut_devcluster.launch.qdrant import Kind
from tests.e2e.case import SHAPE, Case
from tests.e2e.conftest import Launch

OLDER = "QDRANT_OLDER_BIN"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("peers", [1, 3])
def test_a_backup_of_an_older_version_comes_back(
    launch: Launch, kind: Kind, peers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two peers with shard keys, named, sparse and plain vectors: counts, payloads, indexes and
    exact searches are equal, every point lies where routing looks for it, and the next backup
    is quiet."""
    older = os.environ.get(OLDER)
    if kind != "real" or not older:
        pytest.skip(f"two real servers are needed: set {OLDER} and QDRANT_BIN")
    with monkeypatch.context() as earlier:
        earlier.setenv("QDRANT_BIN", older)
        case = Case.begin(launch, 2, keyed=True)
    setup = case.world.setup
    case.world.run(setup.lose_all_peers())
    case.world = launch(peers=peers, coordinators=1, store=setup.store_url)
    case.world.shape = SHAPE
    case.restore()
    case.world.ok("identity", "adopt", "--yes")
    assert case.compare().wrong == []
