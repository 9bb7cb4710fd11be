"""Studies of finished cells: which frequencies methods add, what parameters contribute, how branches answer."""
