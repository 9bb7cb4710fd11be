"""The parent process of a run: planning, dispatch and interim analyses."""
