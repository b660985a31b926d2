"""Undelete: points of a backup that are put back into a live collection, and its two machines."""
