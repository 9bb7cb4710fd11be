"""Images: the catalogue of sets, loading, training crops and procedural images."""
