"""Points of a backup: which are selected, their columns, and what differs between two backups."""
