"""Stand-in Qdrant peer: Qdrant's REST on Qdrant's own storage engine, as one process."""
