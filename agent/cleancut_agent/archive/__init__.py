"""Archive of logs by one agent: shards followed for good, their entries stored in chunks."""
