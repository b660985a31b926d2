"""Qdrant: REST calls to one peer, and its responses parsed once."""
