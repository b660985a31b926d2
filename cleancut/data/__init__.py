"""Data of a backup, from its store alone: points exported, compared and searched."""
