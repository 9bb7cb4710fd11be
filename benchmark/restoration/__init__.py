"""Images of any size through a network."""
