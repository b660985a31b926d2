"""Decisions of all operations as pure code: no clock, no disk, no network."""
