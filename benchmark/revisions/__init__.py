"""Revisions of source files: a cell's key identifies the code that computed the cell by revision numbers."""
