"""Packs in a store: blocks gathered and uploaded, read back, and found underused."""
