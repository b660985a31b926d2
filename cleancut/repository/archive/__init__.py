"""Archive of logs in a store: read, written, searched for moments, and its garbage found."""
