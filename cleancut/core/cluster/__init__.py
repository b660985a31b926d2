"""Cluster as Qdrant describes it: peers, collections, shards and versions, as records."""
