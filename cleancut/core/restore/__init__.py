"""Restore: its plan, and one state machine for the coordinator and one for agents."""
