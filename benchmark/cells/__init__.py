"""What a worker does with one cell."""
