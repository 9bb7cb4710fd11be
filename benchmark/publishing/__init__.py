"""Publishing results: one archive with records, adapters and restored images, and how far it can be believed."""
