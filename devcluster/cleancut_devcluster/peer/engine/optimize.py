"""The process that optimizes one closed shard: the engine would stop the whole peer meanwhile."""

from __future__ import annotations

import sys

import qdrant_edge as edge


def main() -> None:
    """Usage: python -m cleancut_devcluster.peer.engine.optimize DIRECTORY"""
    shard = edge.EdgeShard.load(sys.argv[1])
    try:
        shard.optimize()
        shard.flush()
    finally:
        shard.close()


if __name__ == "__main__":
    main()
