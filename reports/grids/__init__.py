"""The pages of the named grids: which records are theirs, their points, curves and sentences."""
