"""Fencing of writers: alias switches and HTTP hooks, used by coordinators and agents alike."""
