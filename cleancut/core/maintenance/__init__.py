"""Maintenance rules: retention, garbage, schedules, and the inventory of groups."""
