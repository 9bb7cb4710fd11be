"""How the shipped networks were pre-trained; one file a recipe."""
