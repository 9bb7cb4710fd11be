"""The training loop and the adaptation of backbones."""
