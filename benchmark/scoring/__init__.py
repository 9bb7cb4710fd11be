"""Metrics, and their protocols at work."""
