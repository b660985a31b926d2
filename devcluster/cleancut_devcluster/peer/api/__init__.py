"""REST routes of a peer, spelled as Qdrant's route templates."""
