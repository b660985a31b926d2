"""Rendering: values as JSON or tables on stdout, progress on stderr."""
