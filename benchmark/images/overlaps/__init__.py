"""Which images of one set stand in another, as the images show or as it is published."""
