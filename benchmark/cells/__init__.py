"""A worker's processing of a single cell."""
