"""Coordinator: one leads and drives operations, the others stand by; all serve the API."""
