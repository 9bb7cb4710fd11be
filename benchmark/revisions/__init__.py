"""Revision numbers of source files, by which a cell's key identifies the code that computed the cell."""
