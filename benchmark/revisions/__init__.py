"""Revisions of source files: a cell's key identifies the code that computes it by revision, not by its bytes."""
