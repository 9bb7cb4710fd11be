"""The commands, grouped by purpose. Slow imports are made inside the commands that need them."""
