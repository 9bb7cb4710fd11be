"""Images: the catalogue of sets, loading, training crops, the procedural images."""
