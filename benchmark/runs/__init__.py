"""The parent process of a run: plan, dispatch, analyse interim results."""
