"""Consensus of peers on one machine: proposals, their journal, and the state after it."""
