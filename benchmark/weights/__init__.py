"""Sources of pre-trained weights."""
