"""Archive of logs: chains of chunks, marks, and what to follow, cut, break, keep and report."""
