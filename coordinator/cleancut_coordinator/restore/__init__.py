"""Restore on the cluster: collections created, placed, checked and published, or rolled back."""
