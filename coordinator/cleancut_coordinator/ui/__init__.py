"""Status page of a coordinator: its listener, who may read it, and what it keeps in memory."""
