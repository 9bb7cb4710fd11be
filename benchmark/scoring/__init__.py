"""Metrics, and their evaluation under protocols."""
