"""Restore on one peer: tars served to Qdrant, shards recovered and verified."""
