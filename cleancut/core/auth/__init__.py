"""Authorization rules: roles of the API and bearer tokens."""
