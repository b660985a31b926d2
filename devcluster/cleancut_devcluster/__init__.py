"""Development cluster: stand-in Qdrant peers, a whole set-up on one machine, and the demo."""
