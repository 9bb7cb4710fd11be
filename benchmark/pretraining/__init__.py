"""Pre-training of the shipped networks; one module per recipe."""
