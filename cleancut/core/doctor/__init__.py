"""Doctor: facts about a cluster, what is wrong with it, and the commands that fix it."""
