"""The processing of a single cell by a worker process."""
