"""Direct capture on this machine's disk: segment files, their bytes and their evidence."""
