"""Engine: a shard opened in this process by Qdrant's own storage engine, and filters for it."""
