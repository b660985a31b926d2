"""Undelete on one peer: shards of a backup opened, their points put back through the local peer."""
