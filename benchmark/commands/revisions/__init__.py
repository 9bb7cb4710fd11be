"""The command `python -m petlir.benchmark.commands.revisions`, which maintains the revision numbers in cell keys.

The command checks the revision numbers against the source code and, on request, changes the numbers.
"""
