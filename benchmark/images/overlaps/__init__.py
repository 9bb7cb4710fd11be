"""Search for images that two sets share, by comparing images and in published lists of overlaps."""
