"""Images: the catalogue of image sets, decoding, training crops, procedural images and PNG files."""
