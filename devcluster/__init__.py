"""A development cluster: peers that behave like Qdrant's, on Qdrant's own storage engine."""
