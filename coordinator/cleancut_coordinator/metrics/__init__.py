"""Metrics of a coordinator: their names, units and labels, and nothing that reads."""
