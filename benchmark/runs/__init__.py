"""What the parent process does: plan, dispatch, look at interim results."""
