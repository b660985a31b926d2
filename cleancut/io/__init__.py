"""Ports and adapters: the only place where the shared code meets clocks, disks and networks."""
