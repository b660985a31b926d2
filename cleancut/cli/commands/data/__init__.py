"""Commands that read the data of a backup from its store alone; they need `cleancut[data]`."""
