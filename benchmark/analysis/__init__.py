"""Studies of networks: what their parameters contribute."""
