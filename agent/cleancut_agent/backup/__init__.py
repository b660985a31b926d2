"""Backup on one peer: shard streams opened, cut and captured."""
