"""Revisions of source files: a cell's key names the code that computes it by revision, not by bytes."""
