"""Search for images that two sets share, by comparing the images and by looking up published overlaps."""
