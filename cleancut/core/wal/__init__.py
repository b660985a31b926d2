"""Write-ahead log of a Qdrant shard: its framing, the tail of a growing one, its operations."""
