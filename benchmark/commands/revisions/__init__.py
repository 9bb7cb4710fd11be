"""Revisions in keys, checked against the code and raised: `python -m petlir.benchmark.commands.revisions`."""
