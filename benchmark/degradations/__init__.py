"""Degradations that turn clean images into degraded ones, one file each."""
