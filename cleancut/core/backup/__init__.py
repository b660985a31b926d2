"""Backup: the two-phase barrier, one state machine for the coordinator and one for agents."""
