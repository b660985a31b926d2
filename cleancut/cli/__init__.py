"""Command line: settings of one invocation, waiting for operations, exit codes."""
