"""cleancut: consistent, cluster-coordinated backup and restore for a distributed Qdrant."""

__version__ = "0.1.0"
