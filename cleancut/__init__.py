"""cleancut: consistent, cluster-coordinated backup and restore for a distributed Qdrant.

The modules at this root are pure: they decide, and never touch a clock, a disk or a network.
Adapters live in `cleancut.io`; the programs around them in `agent`, `coordinator`, `cleancut.cli`.
"""

__version__ = "0.1.0"
