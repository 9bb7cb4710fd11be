"""Pre-training of the shipped networks; one file per recipe."""
