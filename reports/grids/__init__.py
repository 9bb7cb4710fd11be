"""Pages of the named grids: their records, points, curves and captions."""
