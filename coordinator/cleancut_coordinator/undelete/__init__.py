"""Undelete on the cluster: planned from a backup and a live collection, counted in the end."""
