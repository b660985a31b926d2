"""Simulation: the production programs on a clock that jumps, under faults, judged by checkers."""
