"""Records of cells on disk: schema, reading and grouping; the recorded environment."""
