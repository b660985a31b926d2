"""Importing of Qdrant's own snapshots: their files read and checked, their shards stored."""
