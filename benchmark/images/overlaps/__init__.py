"""Search for images shared between two sets, in the images or in published lists."""
