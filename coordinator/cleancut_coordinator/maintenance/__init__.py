"""Maintenance by the leader: schedules, expiry of groups, garbage collection, checks."""
