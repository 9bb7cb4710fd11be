"""The records: the truth on disk."""
