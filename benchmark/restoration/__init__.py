"""Restoration of images of any size."""
