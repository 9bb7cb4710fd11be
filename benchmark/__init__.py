"""The engine of petlir; it names no method and no task."""
