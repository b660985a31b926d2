"""Verification of groups: data read again, and shards opened and asked without a server."""
