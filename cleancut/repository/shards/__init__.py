"""Shards in a store: a tar in as deduplicated blocks, and out again, with its log exchanged."""
