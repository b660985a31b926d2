"""Runtime of a process: clock, tasks, watched files, addresses, logs, metrics and health."""
