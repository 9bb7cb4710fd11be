"""The backbones, one file a family."""
