"""Decisions of backup, restore and rebalance as pure code: no clock, no disk, no network."""
