"""The overlap audit: which test images stand in training sets, turned, cropped, resized or degraded."""
